"""Instagram's accounts: both logins, the flavour that fetches, and callbacks."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from app import clock
from app.exceptions import AuthorizationError, PlatformAPIError, PlatformAuthError
from app.platforms import _instagram_rules as rules
from app.platforms.base import (
    Callback,
    Notice,
    Platform,
    PlatformConfig,
    Published,
    PublishRequest,
    Staged,
    Tokens,
)
from app.platforms.instagram import Instagram
from sandbox.platforms._meta import signed_request
from sandbox.state import CLIENT_SECRET
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_instagram import CASE, Saved, posted
from tests.sandbox_server import Sim

DAY = 86_400
OWN_SCOPES = frozenset(scope for scope in rules.SCOPES if scope.startswith("instagram_business_"))


@pytest.fixture
def instagram(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("instagram")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="instagram", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(20_000))


@pytest.fixture
def own(sim: Sim) -> PublishRequest:
    """A request of an account connected by Instagram Login."""
    token = sim.token(platform="instagram", scopes=sorted(OWN_SCOPES))
    return make_request(replace(CASE, scopes=OWN_SCOPES), token, some_bytes(20_000))


def consented(platform: Platform, login: str) -> Tokens:
    """Go through a consent as a browser does; Instagram hangs `#_` to the code."""
    consent = platform.consent(state="s", login=login)
    answer = requests.get(consent.authorize_url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    if login == rules.INSTAGRAM:
        came_back["code"] += "#_"
    return platform.exchange(params=came_back, verifier=consent.verifier)


@pytest.fixture
def link() -> Iterator[str]:
    """An address that serves 30,000 bytes, as our public links do."""

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = some_bytes(30_000, seed=2)
            self.send_response(200 if self.path == "/video.mp4" else 404)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing: pytest's output is for tests."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/video.mp4"
    server.shutdown()
    thread.join()
    server.server_close()


# -- connecting


@pytest.mark.parametrize("shape", ["data", "flat"])
def test_instagram_login_gives_a_token_of_sixty_days_in_either_shape(
    instagram: Platform, sim: Sim, shape: str
) -> None:
    sim.settings(instagram_code_answer=shape)
    tokens = consented(instagram, rules.INSTAGRAM)
    (account,) = instagram.accounts(tokens)
    assert tokens.expires_at is not None and tokens.expires_at > clock.now() + timedelta(days=59)
    assert tokens.refresh_token == tokens.access_token
    assert (tokens.scopes, bool(tokens.user_id)) == (OWN_SCOPES, True)
    assert (account.username, account.access_token) == ("sandbox_creator", None)
    assert account.details == {"login": "instagram_login"}


def test_facebook_login_opens_each_linked_account_with_its_pages_token(instagram: Platform) -> None:
    tokens = consented(instagram, rules.FACEBOOK)
    accounts = instagram.accounts(tokens)
    assert (tokens.expires_at, tokens.refresh_token) == (None, None)
    assert tokens.refresh_expires_at is not None and tokens.user_id is not None
    assert [account.username for account in accounts] == ["sandbox_creator", "sandbox_second"]
    assert all(account.access_token for account in accounts)
    assert not [account for account in accounts if str(account.access_token) in repr(account)]


def test_an_account_whose_page_gives_no_right_to_post_is_not_offered(instagram: Platform, sim: Sim) -> None:
    sim.account("sandbox_second", platform="instagram", cannot_post="role")
    accounts = instagram.accounts(consented(instagram, rules.FACEBOOK))
    assert [account.username for account in accounts] == ["sandbox_creator"]


@pytest.mark.parametrize(
    ("login", "scope"),
    [
        (rules.FACEBOOK, "instagram_basic"),
        (rules.FACEBOOK, "instagram_content_publish"),
        (rules.FACEBOOK, "pages_show_list"),
        (rules.FACEBOOK, "pages_read_engagement"),
        (rules.INSTAGRAM, "instagram_business_basic"),
        (rules.INSTAGRAM, "instagram_business_content_publish"),
    ],
)
def test_a_consent_without_what_every_post_needs_is_refused(
    make_registry: RegistryMaker, login: str, scope: str
) -> None:
    setting = {rules.FACEBOOK: "FACEBOOK_SCOPES", rules.INSTAGRAM: "SCOPES"}[login]
    (asked,) = (spec.default for spec in rules.SETTINGS if spec.name == setting)
    few = ",".join(name for name in asked.split(",") if name != scope)
    with pytest.raises(PlatformAuthError, match="did not allow what posting needs") as refused:
        consented(make_registry(**{f"INSTAGRAM_{setting}": few}).get("instagram"), login)
    assert refused.value.details == {"missing": [scope]}


def test_the_posts_of_a_day_are_a_setting(make_registry: RegistryMaker) -> None:
    instagram = make_registry(INSTAGRAM_DAILY_POSTS="100").get("instagram")
    assert [(quota.bucket, quota.limit) for quota in instagram.quotas if quota.posts] == [("publishes", 100)]


@pytest.mark.parametrize("value", ["0", "many", "-1", "1000001", "5.5"])
def test_posts_of_a_day_that_are_no_number_are_refused_by_name(
    make_registry: RegistryMaker, value: str
) -> None:
    with pytest.raises(ValueError, match="INSTAGRAM_DAILY_POSTS"):
        make_registry(INSTAGRAM_DAILY_POSTS=value)


def test_a_code_is_good_once(instagram: Platform) -> None:
    consent = instagram.consent(state="s", login=rules.INSTAGRAM)
    answer = requests.get(consent.authorize_url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    instagram.exchange(params=came_back, verifier=consent.verifier)
    with pytest.raises(PlatformAuthError, match="Connect again"):
        instagram.exchange(params=came_back, verifier=consent.verifier)


def test_without_a_choice_the_login_that_is_set_up_is_taken(make_registry: RegistryMaker) -> None:
    both = make_registry().get("instagram").consent(state="s")
    one = _real(make_registry, FACEBOOK_APP_SECRET="").consent(state="s")
    assert both.verifier.startswith("facebook_login.")
    assert one.verifier.startswith("instagram_login.")


def _real(make_registry: RegistryMaker, **changes: str) -> Instagram:
    """Return an adapter that is not in the sandbox."""
    values = {spec.name: spec.default or "set" for spec in rules.SETTINGS} | changes
    config = PlatformConfig(values, "https://video.example/callback")
    return Instagram(config, make_registry().get("instagram").http)


def test_a_token_is_renewed_from_a_day_on_and_a_dead_one_is_an_auth_error(
    instagram: Platform, sim: Sim, own: PublishRequest
) -> None:
    token = own.account.access_token
    with pytest.raises(PlatformAPIError) as young:
        instagram.refresh(token)
    sim.advance(DAY + 60)
    renewed = instagram.refresh(token)
    sim.advance(61 * DAY)
    with pytest.raises(PlatformAuthError):
        instagram.refresh(renewed.access_token)
    assert young.value.kind != "reauth"
    assert renewed.access_token == renewed.refresh_token != token


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 200, "body": "{broken"}])
def test_passing_trouble_on_renewal_is_not_a_dead_grant(
    instagram: Platform, sim: Sim, own: PublishRequest, fault: Mapping[str, Any]
) -> None:
    sim.fault("instagram.own_refresh", "status", **fault)
    with pytest.raises(PlatformAPIError) as passing:
        instagram.refresh(own.account.access_token)
    assert passing.value.kind == "transient"


def test_a_consent_given_back_is_over(instagram: Platform) -> None:
    tokens = consented(instagram, rules.INSTAGRAM)
    instagram.revoke(tokens)
    with pytest.raises(PlatformAuthError):
        instagram.accounts(tokens)


# -- the flavour whose videos are fetched


def test_with_instagram_login_the_video_is_fetched_from_our_link(
    instagram: Platform, sim: Sim, own: PublishRequest, link: str
) -> None:
    handle = posted(instagram, replace(own, public_link=lambda _what: link))
    (made,) = sim.posts(platform="instagram")
    assert made["sha256"] == hashlib.sha256(some_bytes(30_000, seed=2)).hexdigest()
    assert isinstance(instagram.locate(own, handle), Published)
    assert sim.requests(operation="instagram.upload") == []


def test_a_link_that_cannot_be_fetched_three_times_is_the_installations_fault(
    instagram: Platform, own: PublishRequest, link: str
) -> None:
    broken, saved, kinds = replace(own, public_link=lambda _what: f"{link}.gone"), Saved(), []
    for _ in range(3):
        with pytest.raises(PlatformAPIError) as failed:
            instagram.stage(broken, saved[-1] if saved else None, saved)
        kinds.append(failed.value.kind)
    working = replace(own, public_link=lambda _what: link)
    assert kinds == ["transient", "transient", "config"]
    assert isinstance(instagram.stage(working, saved[-1], saved), Staged)


def test_the_thumbnail_as_cover_is_a_link_and_goes_before_a_frame(
    instagram: Platform, sim: Sim, request_: PublishRequest, link: str
) -> None:
    options = {"use_thumbnail": True, "thumb_offset": 5}
    posted(instagram, replace(request_, options=options, public_link=lambda _what: link))
    (made,) = sim.requests(operation="instagram.container")
    assert made["body"]["cover_url"] == link
    assert "thumb_offset" not in made["body"]


@pytest.mark.parametrize("url", ["http://video.example/v.mp4", "https://localhost/v.mp4"])
def test_a_link_only_this_machine_can_open_is_refused_before_it_is_told(
    make_registry: RegistryMaker, own: PublishRequest, url: str
) -> None:
    fetched = replace(own, public_link=lambda _what: url)
    with pytest.raises(PlatformAPIError, match="PUBLIC_URL") as refused:
        _real(make_registry).stage(fetched, None, Saved())
    assert refused.value.kind == "config"


def test_a_token_of_the_other_flavour_is_refused(
    instagram: Platform, own: PublishRequest, request_: PublishRequest
) -> None:
    swapped = replace(own.account, access_token=request_.account.access_token)
    with pytest.raises(PlatformAuthError):
        instagram.posting_options(swapped)


# -- callbacks


@pytest.mark.parametrize(("purpose", "what"), [("deauthorize", "revoked"), ("data_deletion", "delete")])
def test_a_signed_request_names_who_left(instagram: Platform, purpose: Any, what: Any) -> None:
    at = clock.now().replace(microsecond=0)
    payload = {"user_id": "77", "issued_at": int(at.timestamp())}
    body = f"signed_request={signed_request(payload, CLIENT_SECRET)}".encode()
    forged = f"signed_request={signed_request(payload, 'guess')}".encode()
    assert [*instagram.receive(Callback(purpose, "POST", {}, {}, body)).notices] == [Notice(what, "77", at)]
    with pytest.raises(AuthorizationError):
        instagram.receive(Callback(purpose, "POST", {}, {}, forged))
