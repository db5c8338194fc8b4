"""Connecting an account to the sandbox, over real HTTP, in a browser's steps."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import clock
from app.config import Settings
from app.extensions import db
from app.models import Channel, Connection, Credential, Target
from app.platforms.base import Consent, Login, RemoteAccount
from app.platforms.registry import setting_specs
from app.platforms.tiktok import TikTok
from app.services.credentials import reveal, reveal_own
from tests import factories
from tests.conftest import SettingsMaker
from tests.factories import Person
from tests.sandbox_server import SandboxServer, sandbox_thread

CALLBACK = "/api/v1/connections/callback"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.fixture
def settings(make_settings: SettingsMaker, sandbox: SandboxServer) -> Settings:
    """Settings that lead to the sandbox."""
    sandbox.sim.reset()
    values = {key: value for group in sandbox.sim.environment().values() for key, value in group.items()}
    platforms = {
        name: {spec.name: values.get(f"{name}_{spec.name}".upper(), spec.default) for spec in specs}
        for name, specs in setting_specs().items()
    }
    return make_settings(platforms=platforms)


@dataclass
class Browser:
    """Somebody at a browser: an access token for the API, cookies for the rest."""

    client: FlaskClient
    headers: dict[str, str]
    answers: list[Any] = field(default_factory=list)

    def send(self, method: str, path: str, json: Any = None) -> Any:
        return self.client.open(f"/api/v1{path}", method=method, json=json, headers=self.headers)

    def begin(self) -> Any:
        return self.send("POST", "/connections", {"platform": "tiktok"})

    def consent(self, begun: Any, *, decision: str = "approve") -> str:
        """Decide on the platform's page; return the path and query the browser is sent back to."""
        page = f"{begun.json['authorize_url']}&auto={decision}"
        back = requests.get(page, allow_redirects=False, timeout=10, proxies={"http": ""})
        return urlsplit(back.headers["Location"])._replace(scheme="", netloc="").geturl()

    def connect(self) -> Any:
        begun = self.begin()
        assert self.client.get(self.consent(begun)).status_code == 200
        return self.send("POST", f"/connections/{begun.json['id']}/complete")


@pytest.fixture
def person(client: FlaskClient, auth_headers: dict[str, str]) -> Browser:
    return Browser(client, auth_headers)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def only(app: Flask, model: type[Any]) -> Any:
    with app.app_context():
        (found,) = db.session.scalars(select(model)).all()
        db.session.expunge(found)
        return found


# -- the whole way


@pytest.mark.usefixtures("database_url")
def test_consent_and_completion_make_a_channel(app: Flask, person: Browser) -> None:
    begun = person.begin()
    assert (begun.status_code, begun.json["status"], begun.json["choices"]) == (201, "pending", [])

    page = person.client.get(person.consent(begun))

    assert (page.status_code, page.mimetype) == (200, "text/html")
    path = f"/connections/{begun.json['id']}"
    choices = person.send("GET", path).json["choices"]
    assert person.send("GET", "/channels").json["data"] == []  # the browser's return makes none
    done = person.send("POST", f"{path}/complete", {"choice_ids": [choices[0]["id"]]})
    assert (done.status_code, done.json["status"]) == (200, "completed")
    (channel,) = person.send("GET", "/channels").json["data"]
    assert done.json["channels"] == [channel]
    assert (channel["platform"], channel["status"], channel["remote_id"]) == (
        "tiktok",
        "active",
        choices[0]["id"],
    )
    credential = only(app, Credential)
    assert credential.next_at == credential.expires_at - timedelta(hours=2)
    assert (credential.environment, credential.status) == ("sandbox", "active")
    assert only(app, Connection).tokens_encrypted is None


def test_the_nonce_cookie_is_for_the_callback_only(person: Browser) -> None:
    begun = person.begin()

    cookie = next(iter(SimpleCookie(begun.headers["Set-Cookie"]).values()))

    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (CALLBACK, True, "Lax")
    assert cookie["secure"] == "" and cookie["max-age"] == "600"


def test_nothing_secret_is_stored_in_clear(app: Flask, person: Browser, sandbox: SandboxServer) -> None:
    begun = person.begin()
    back = person.consent(begun)
    state = dict(pair.split("=") for pair in urlsplit(back).query.split("&"))["state"]
    person.client.get(back)

    stored = only(app, Connection)

    written = " ".join(str(value) for value in vars(stored).values())
    assert state not in written
    assert "act." not in written and stored.tokens_encrypted.startswith("k1:")


# -- what does not count as coming back


def test_a_denied_consent_stores_the_reason_and_nothing_else(app: Flask, person: Browser) -> None:
    begun = person.begin()

    page = person.client.get(person.consent(begun, decision="deny"))

    assert page.mimetype == "text/html" and page.status_code >= 400
    assert "consent" in page.text
    found = only(app, Connection)
    assert (found.status, found.choices, found.tokens_encrypted) == ("failed", [], None)
    refused = person.send("POST", f"/connections/{begun.json['id']}/complete")
    assert code(refused) == (409, "STATE_CONFLICT")


def test_a_consent_counts_once(person: Browser) -> None:
    back = person.consent(person.begin())
    assert person.client.get(back).status_code == 200

    again = person.client.get(back)

    assert again.status_code in (403, 409) and again.mimetype == "text/html"


def test_a_replay_with_the_cookie_kept_is_refused_too(app: Flask, person: Browser) -> None:
    begun = person.begin()
    cookie = next(iter(SimpleCookie(begun.headers["Set-Cookie"]).values()))
    back = person.consent(begun)
    person.client.get(back)

    person.client.set_cookie(cookie.key, cookie.value, path=CALLBACK)
    again = person.client.get(back)

    assert again.status_code == 409
    assert only(app, Connection).status == "authorized"


def test_another_browser_is_refused_and_the_first_may_still_come_back(app: Flask, person: Browser) -> None:
    back = person.consent(person.begin())

    foreign = app.test_client().get(back)

    assert (foreign.status_code, foreign.mimetype) == (403, "text/html")
    assert only(app, Connection).status == "pending"
    assert person.client.get(back).status_code == 200


def test_after_ten_minutes_it_is_too_late(app: Flask, person: Browser) -> None:
    back = person.consent(person.begin())
    with app.app_context():
        db.session.execute(update(Connection).values(expires_at=clock.now()))
        db.session.commit()

    assert person.client.get(back).status_code == 409
    assert only(app, Connection).status == "pending"


@pytest.mark.parametrize("query", ["", "?state=", "?state=guess&code=x", "?code=x", "?state=%ff&code=%00"])
def test_a_state_nobody_gave_out_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{CALLBACK}{query}")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_what_the_callback_shows_is_escaped(person: Browser) -> None:
    state = urlsplit(person.consent(person.begin())).query.split("state=")[1].split("&")[0]

    page = person.client.get(f"{CALLBACK}?state={state}&error=<script>alert(1)</script>")

    assert "<script>alert" not in page.text


def test_a_platform_that_fails_leaves_a_clear_page(person: Browser, sandbox: SandboxServer) -> None:
    back = person.consent(person.begin())
    sandbox.sim.fault("tiktok.token", "status", status=500)

    page = person.client.get(back)

    assert (page.status_code, page.mimetype) == (502, "text/html")


# -- completing


def test_a_choice_that_was_not_offered_is_refused(person: Browser) -> None:
    begun = person.begin()
    person.client.get(person.consent(begun))

    answer = person.send("POST", f"/connections/{begun.json['id']}/complete", {"choice_ids": ["somebody"]})

    assert code(answer) == (422, "VALIDATION_ERROR")


def test_a_connection_is_completed_once(person: Browser) -> None:
    done = person.connect()

    again = person.send("POST", f"/connections/{done.json['id']}/complete")

    assert code(again) == (409, "STATE_CONFLICT")


def test_another_workspaces_connection_does_not_exist(
    client: FlaskClient, person: Browser, other_headers: dict[str, str]
) -> None:
    path = f"/api/v1/connections/{person.begin().json['id']}"

    asked = [client.get(path, headers=other_headers), client.post(f"{path}/complete", headers=other_headers)]

    assert [code(answer) for answer in asked] == [(404, "RESOURCE_NOT_FOUND")] * 2


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"platform": "nowhere"}, "PLATFORM_VALIDATION_ERROR"),
        ({"platform": "tiktok", "server": "https://example.com"}, "PLATFORM_VALIDATION_ERROR"),
        ({"platform": "tiktok", "credentials": {"password": "x"}}, "PLATFORM_VALIDATION_ERROR"),
        ({"platform": "tiktok", "login": "by_owl"}, "PLATFORM_VALIDATION_ERROR"),
        ({}, "VALIDATION_ERROR"),
    ],
)
def test_what_cannot_be_connected_is_refused(person: Browser, body: dict[str, Any], name: str) -> None:
    assert code(person.send("POST", "/connections", body)) == (422, name)


def test_the_login_that_was_chosen_is_kept_and_told_to_the_adapter(
    app: Flask, person: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    real = TikTok.consent
    ways = tuple(Login(name, name, ("CLIENT_KEY",)) for name in ("by_phone", "by_letter"))
    monkeypatch.setattr(TikTok, "logins", ways)

    def consent(self: TikTok, *, state: str, login: str = "") -> Consent:
        told.append(login)
        return real(self, state=state)

    monkeypatch.setattr(TikTok, "consent", consent)

    begun = person.send("POST", "/connections", {"platform": "tiktok", "login": "by_letter"})

    assert (begun.status_code, begun.json["login"], told) == (201, "by_letter", ["by_letter"])
    assert only(app, Connection).login == "by_letter"


@pytest.mark.usefixtures("database_url")
def test_an_accounts_own_token_and_details_reach_its_channel_and_no_answer(
    app: Flask, person: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [
        RemoteAccount(name, name, name, None, None, f"secret-{name}", {"kind": name}) for name in ("a", "b")
    ]
    monkeypatch.setattr(TikTok, "accounts", lambda _self, _tokens: pages)
    begun = person.begin()
    person.client.get(person.consent(begun))
    waiting = only(app, Connection)

    path = f"/connections/{begun.json['id']}"
    asked = person.send("GET", path)
    done = person.send("POST", f"{path}/complete", {"choice_ids": ["b"]})

    assert "secret" not in asked.text + done.text + str(waiting.choices) + str(waiting.tokens_encrypted)
    channel = only(app, Channel)
    with app.app_context():
        assert reveal_own(channel.id, channel.access_token_encrypted) == "secret-b"
    assert (channel.remote_id, channel.details) == ("b", {"kind": "b"})


# -- again


@pytest.mark.usefixtures("database_url")
def test_connecting_again_renews_the_channel_and_lets_its_posts_go(
    app: Flask, owner: Person, person: Browser
) -> None:
    channel_id = uuid.UUID(person.connect().json["channels"][0]["id"])
    before = only(app, Credential)
    with app.app_context():
        channel = db.session.get_one(Channel, channel_id)
        factories.make_post(factories.make_video(owner.workspace_id), channel)
        channel.status = "needs_reconnect"
        db.session.execute(update(Credential).values(status="needs_reconnect", next_at=None))
        db.session.execute(update(Target).values(hold="reconnect"))
        db.session.commit()

    again = person.connect()

    assert [item["id"] for item in again.json["channels"]] == [str(channel_id)]
    assert again.json["channels"][0]["status"] == "active"
    after = only(app, Credential)
    assert (after.id, after.status, after.fence) == (before.id, "active", before.fence + 1)
    assert after.access_token_encrypted != before.access_token_encrypted
    assert only(app, Target).hold is None


def test_an_answer_without_refresh_token_keeps_the_old_one(
    app: Flask, person: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.connect()
    first = only(app, Credential)
    from dataclasses import replace

    real = TikTok.exchange
    monkeypatch.setattr(
        TikTok, "exchange", lambda *args, **kw: replace(real(*args, **kw), refresh_token=None)
    )

    person.connect()

    second = only(app, Credential)
    with app.app_context():
        kept = reveal(second.id, "refresh_token", second.refresh_token_encrypted)
        assert kept == reveal(first.id, "refresh_token", first.refresh_token_encrypted)


def test_disconnecting_gives_the_grant_back_and_connecting_revives_the_channel(
    app: Flask, person: Browser, sandbox: SandboxServer
) -> None:
    channel_id = person.connect().json["channels"][0]["id"]

    assert person.send("DELETE", f"/channels/{channel_id}").status_code == 204

    assert sandbox.sim.requests(operation="tiktok.revoke")
    assert person.connect().json["channels"][0]["id"] == channel_id
    with app.app_context():
        assert len(db.session.scalars(select(Credential).where(Credential.status == "active")).all()) == 1


def test_a_platform_that_cannot_be_told_does_not_stop_disconnecting(
    person: Browser, sandbox: SandboxServer
) -> None:
    channel_id = person.connect().json["channels"][0]["id"]
    sandbox.sim.fault("tiktok.revoke", "status", status=500, times=-1)

    assert person.send("DELETE", f"/channels/{channel_id}").status_code == 204


def test_platforms_say_what_they_take_and_promise(person: Browser) -> None:
    (tiktok,) = [item for item in person.send("GET", "/platforms").json["data"] if item["name"] == "tiktok"]

    assert (tiktok["configured"], tiktok["sandbox"], tiktok["guarantee"]) == (True, True, "resumable")
    assert {"video", "texts", "quotas", "cover"} == set(tiktok["limits"])
