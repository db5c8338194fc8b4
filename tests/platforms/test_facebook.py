"""Facebook's own rules; what all platforms promise is in test_contract.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError, PlatformUploadError
from app.platforms import _facebook_rules as rules
from app.platforms.base import (
    HandleDead,
    NotCommitted,
    Pending,
    Platform,
    Published,
    PublishRequest,
    Rejected,
    Tokens,
    Unknown,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

CASE = Case(
    name="facebook",
    options={},
    scopes=frozenset(rules.SCOPES),
    commit="facebook.finish",
    ask="facebook.status",
    refresh="facebook.token",
    begin="facebook.start",
    stretch=17_300_000,
    handle_seconds=86_400,
    secret_keys=("upload_url",),
    hijack={"video_id": "7", "upload_url": "https://evil.example/video?token=stolen"},
    overdue={"dead_upload_status": "PROCESSING_UPLOAD"},
    comment="facebook.comment",
    commits_bytes=False,
    rotates=False,
    refreshes=False,
    has_verifier=False,
)
VIDEO = {"post_type": "video"}


@pytest.fixture
def facebook(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("facebook")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(platform="facebook"), some_bytes(20_000))


class Saved(list[Mapping[str, Any]]):
    """The handles saved, in order."""

    def __call__(self, handle: Mapping[str, Any]) -> None:
        self.append(handle)


def post(platform: Platform, request: PublishRequest) -> Mapping[str, Any]:
    """Stage and commit; return the handle."""
    saved = Saved()
    platform.stage(request, None, saved)
    platform.prepare_commit(request, saved[-1]).send(10.0)
    return saved[-1]


def published(platform: Platform, request: PublishRequest) -> PublishRequest:
    """Return the request of a post that is out, as steps and figures get it."""
    found = platform.locate(request, post(platform, request))
    assert isinstance(found, Published)
    return replace(request, remote_id=found.remote_id)


def as_video(request: PublishRequest, size: int = 7_000_000) -> PublishRequest:
    return replace(request, options=VIDEO, source=MemorySource(some_bytes(size)))


# -- what is posted


@pytest.mark.parametrize(
    ("chosen", "facts", "kind"),
    [
        ("auto", {}, "reel"),
        ("auto", {"duration_seconds": 90.0}, "reel"),
        ("auto", {"duration_seconds": 90.1}, "video"),
        ("auto", {"duration_seconds": 2.9}, "video"),
        ("auto", {"width": 1920, "height": 1080}, "video"),
        ("auto", {"width": 360, "height": 640}, "video"),
        ("auto", {"width": 1080, "height": 1080}, "video"),
        ("auto", {"duration_seconds": None}, "video"),
        ("reel", {}, "reel"),
        ("video", {}, "video"),
    ],
)
def test_what_fits_a_reel_becomes_one(
    request_: PublishRequest, chosen: str, facts: Mapping[str, Any], kind: str
) -> None:
    asked = replace(request_, options={"post_type": chosen}, **facts)
    assert rules.kind_of(asked) == kind


def test_a_reel_that_cannot_be_one_is_refused_before_anything_is_sent(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    long = replace(request_, options={"post_type": "reel"}, duration_seconds=91.0)
    with pytest.raises(PlatformUploadError, match=r"91\.0 s long"):
        facebook.stage(long, None, Saved())
    assert sim.requests(operation="facebook.start") == []


def test_without_a_caption_the_title_is_the_description(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    post(facebook, replace(request_, title="Only a title", caption=" "))
    assert sim.count(platform="facebook", caption="Only a title") == 1


def test_texts_are_counted(facebook: Platform) -> None:
    options = {"first_comment": "c" * 8001}
    found = facebook.validate(title="t" * 256, caption="x" * 2201, options=options)
    assert {problem.field for problem in found} == {"title", "caption", "options.first_comment"}


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_a_wrong_setting_is_named(make_registry: RegistryMaker, value: str) -> None:
    with pytest.raises(ValueError, match="FACEBOOK_DAILY_POSTS"):
        make_registry(FACEBOOK_DAILY_POSTS=value)


# -- what became of it


def test_nothing_is_told_to_be_unfinished_within_a_minute_of_the_commit(
    facebook: Platform, request_: PublishRequest
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    just_now = replace(request_, committed_at=clock.now() - timedelta(seconds=10))
    long_ago = replace(request_, committed_at=clock.now() - timedelta(seconds=61))
    found = facebook.locate(just_now, saved[-1])
    assert isinstance(found, Pending)
    assert timedelta(seconds=45) < found.until - clock.now() <= timedelta(seconds=50)
    assert isinstance(facebook.locate(long_ago, saved[-1]), NotCommitted)


def test_a_video_being_processed_is_waited_for_however_long(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(processing_seconds=300.0)
    handle = post(facebook, request_)
    later = replace(request_, committed_at=clock.now() - timedelta(hours=1))
    assert isinstance(facebook.locate(later, handle), Pending)
    sim.advance(301)
    assert isinstance(facebook.locate(later, handle), Published)


@pytest.mark.parametrize(("reason", "code"), [("1363128", "1363128"), ("odd", "6000")])
def test_a_video_that_cannot_be_processed_is_rejected_with_the_reason(
    facebook: Platform, request_: PublishRequest, reason: str, code: str
) -> None:
    found = facebook.locate(request_, post(facebook, replace(request_, caption=f"[sim:fail={reason}]")))
    assert isinstance(found, Rejected)
    assert (found.error.kind, found.error.platform_code) == ("media", code)


@pytest.mark.parametrize("mode", ["silent", "FAILED"])
def test_a_late_removal_is_noticed(facebook: Platform, request_: PublishRequest, sim: Sim, mode: str) -> None:
    sim.settings(late_reject_status=mode)
    handle = post(facebook, replace(request_, caption="late [sim:late-reject]"))
    before = facebook.watch(request_, handle)
    sim.advance(10)
    after = facebook.watch(request_, handle)
    assert isinstance(before, Published)
    assert isinstance(after, Rejected)


def test_a_video_facebook_does_not_know_after_a_commit_is_for_a_person(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    handle = post(facebook, request_)
    sim.reset(keep=("tokens", "accounts", "settings"))
    assert isinstance(facebook.locate(request_, handle), Unknown)


@pytest.mark.parametrize("code", [100, 368, 6000, 803])
def test_a_refusal_of_a_video_that_is_out_is_in_doubt(
    facebook: Platform, request_: PublishRequest, sim: Sim, code: int
) -> None:
    handle = post(facebook, request_)
    body = {"error": {"code": code, "message": "No."}}
    sim.fault("facebook.finish", "status", status=400, body=body)
    with pytest.raises(PlatformAPIError) as refused:
        facebook.prepare_commit(request_, handle).send(5.0)
    assert refused.value.kind == "ambiguous"


def test_a_refusal_of_a_video_that_is_not_out_is_told_as_it_is(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved, body = Saved(), {"error": {"code": 100, "error_subcode": 1404102}}
    facebook.stage(request_, None, saved)
    sim.fault("facebook.finish", "status", status=400, body=body)
    with pytest.raises(PlatformAPIError, match="standards") as refused:
        facebook.prepare_commit(request_, saved[-1]).send(5.0)
    assert (refused.value.kind, refused.value.platform_code) == ("content", "100/1404102")


@pytest.mark.parametrize("body", [{"success": False}, {}, {"success": "true"}])
def test_a_commit_not_answered_with_success_is_in_doubt(
    facebook: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    sim.fault("facebook.finish", "status", status=200, body=body)
    with pytest.raises(PlatformAPIError) as refused:
        facebook.prepare_commit(request_, saved[-1]).send(5.0)
    assert refused.value.kind == "ambiguous"


@pytest.mark.parametrize(
    "given",
    ["", "//evil.example/x", "https://evil.example/x", "javascript:alert(1)", "/\\evil", "/a b", 7, None],
)
def test_a_permalink_that_is_none_of_facebooks_is_not_shown(
    facebook: Platform, request_: PublishRequest, sim: Sim, given: object
) -> None:
    handle = post(facebook, request_)
    sim.fault("facebook.status", "status", status=200, body={"published": True, "permalink_url": given})
    found = facebook.locate(request_, handle)
    assert isinstance(found, Published)
    assert found.permalink == f"{facebook.config['WEB_URL']}/reel/{handle['video_id']}"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "x"},
        {"status": {"uploading_phase": [1], "publishing_phase": {"status": 5}}},
        {"published": "no"},
    ],
)
def test_a_status_of_another_shape_is_not_taken_for_published(
    facebook: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    sim.fault("facebook.status", "status", status=200, body=body)
    asked = replace(request_, committed_at=clock.now())
    assert isinstance(facebook.locate(asked, saved[-1]), Pending)


def test_an_upload_whose_day_is_over_is_dead_only_if_nothing_came_of_it(
    facebook: Platform, request_: PublishRequest
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    old = {**saved[-1], "created_at": clock.now().timestamp() - 86_400}
    dead = facebook.prepare_commit(request_, old).send(5.0)
    facebook.prepare_commit(request_, saved[-1]).send(5.0)
    with pytest.raises(PlatformAPIError) as doubted:
        facebook.prepare_commit(request_, old).send(5.0)
    assert isinstance(dead, HandleDead)
    assert doubted.value.kind == "ambiguous"


def test_the_pages_thirty_reels_a_day_are_kept_to(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(daily_posts=1)
    post(facebook, request_)
    with pytest.raises(PlatformRateLimitError) as limited:
        post(facebook, replace(request_, caption="Another"))
    assert limited.value.retry_at is not None
    assert limited.value.retry_at - clock.now() > timedelta(minutes=110)
    assert [(quota.limit, quota.phase) for quota in facebook.quotas if quota.posts] == [(30, "commit")]


# -- connecting


def consented(platform: Platform) -> Tokens:
    url = platform.consent(state="s").authorize_url
    answer = requests.get(url, allow_redirects=False, timeout=5)
    params = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    return platform.exchange(params=params, verifier="")


@pytest.mark.parametrize("scope", ["pages_show_list", "pages_read_engagement", "pages_manage_posts"])
def test_a_consent_without_what_every_post_needs_is_refused(make_registry: RegistryMaker, scope: str) -> None:
    few = ",".join(name for name in rules.SCOPES if name != scope)
    with pytest.raises(PlatformAuthError) as refused:
        consented(make_registry(FACEBOOK_SCOPES=few).get("facebook"))
    assert refused.value.details == {"missing": [scope]}


def test_each_page_is_offered_with_its_own_token(facebook: Platform) -> None:
    tokens = consented(facebook)
    pages = facebook.accounts(tokens)
    own = {page.access_token for page in pages}
    assert [page.username for page in pages] == ["sandbox_creator", "sandbox_second"]
    assert len(own) == 2 and tokens.access_token not in own and None not in own
    assert tokens.refresh_token is None and tokens.expires_at is None
    assert tokens.refresh_expires_at is not None and tokens.user_id is not None
    assert not [token for token in own if str(token) in repr(pages)]


def test_a_page_token_posts_and_a_persons_does_not(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    tokens = consented(facebook)
    page = facebook.accounts(tokens)[1]
    account = replace(request_.account, remote_id=page.remote_id, access_token=page.access_token or "")
    post(facebook, replace(request_, account=account))
    with pytest.raises(PlatformAuthError):
        post(facebook, replace(request_, account=replace(account, access_token=tokens.access_token)))
    assert [made["account"] for made in sim.posts(platform="facebook")] == ["sandbox_second"]


def test_pages_where_the_person_may_not_post_are_not_offered(facebook: Platform, sim: Sim) -> None:
    sim.account("sandbox_second", platform="facebook", cannot_post="role")
    assert [page.username for page in facebook.accounts(consented(facebook))] == ["sandbox_creator"]


def test_a_consent_without_posting_is_refused(make_registry: RegistryMaker) -> None:
    platform = make_registry(FACEBOOK_SCOPES="pages_show_list").get("facebook")
    with pytest.raises(PlatformAuthError, match="did not allow"):
        consented(platform)


def test_a_wrong_app_secret_is_the_operators_matter(make_registry: RegistryMaker) -> None:
    platform = make_registry(FACEBOOK_CLIENT_SECRET="another").get("facebook")
    with pytest.raises(PlatformAPIError) as refused:
        consented(platform)
    assert refused.value.kind == "config"


def test_more_pages_than_fit_one_answer_are_all_offered(facebook: Platform, sim: Sim) -> None:
    for number in range(110):
        sim.account(f"page_{number}", platform="facebook")
    assert len(facebook.accounts(consented(facebook))) == 112


def test_an_installation_is_configured_by_id_and_secret(make_registry: RegistryMaker) -> None:
    without = make_registry(FACEBOOK_WEBHOOK_VERIFY_TOKEN="").get("facebook")
    assert without.configured(without.config.settings)
    assert not without.configured({**without.config.settings, "CLIENT_SECRET": ""})
