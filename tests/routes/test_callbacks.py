"""Platforms call us over real HTTP: the sandbox's own sender, with its signatures, doubles and disorder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.serving import make_server

from app import clock, create_app
from app.extensions import db
from app.models import Channel, Credential, DeletionRequest, Target
from app.services.platforms import registry
from sandbox.platforms._meta import REASON_DELETED
from sandbox.platforms._tiktok_life import sign
from sandbox.platforms.facebook import META as FACEBOOK
from tests import factories
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.platforms.sources import make_request
from tests.platforms.test_tiktok import CASE, post
from tests.routes.conftest import code
from tests.sandbox_server import SandboxServer, Sim, sandbox_thread

WEBHOOK = "/api/v1/platforms/tiktok/webhook"
SECRET = "sandbox-client-secret"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


@pytest.fixture
def sim(server: SandboxServer) -> Iterator[Sim]:
    server.sim.reset()
    server.sim.settings(processing_seconds=0.0, moderation_seconds=0.0)
    yield server.sim
    server.sim.settings(webhook_url="")


@pytest.fixture
def app(make_settings: SettingsMaker, sim: Sim) -> Iterator[Flask]:
    ours = {
        name: {key.removeprefix(f"{name.upper()}_"): value for key, value in values.items()}
        for name, values in sim.environment().items()
    }
    made = create_app(make_settings(platforms=ours))
    made.testing = True
    yield made
    dispose(made)


@pytest.fixture
def base_url(app: Flask) -> Iterator[str]:
    """The application over HTTP, as a platform reaches it."""
    running = make_server("127.0.0.1", 0, app, threaded=True)
    running.log = lambda *_: None  # type: ignore[method-assign]
    running.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@dataclass
class Posted:
    """A post whose upload stands in the sandbox and whose target waits for the platform, here."""

    app: Flask
    target_id: Any
    channel_id: Any

    def waits(self) -> bool:
        with self.app.app_context():
            found = db.session.get_one(Target, self.target_id)
            return found.next_at is not None and found.next_at > clock.now()

    def channel_status(self) -> str:
        with self.app.app_context():
            return db.session.get_one(Channel, self.channel_id).status


@pytest.fixture
def posted(app: Flask, sim: Sim) -> Posted:
    """Post a video for the sandbox's account by its adapter, and remember it as confirming."""
    token = sim.token()
    with app.app_context():
        workspace_id = factories.make_person().workspace_id
        channel = factories.make_channel(workspace_id, remote_id=token["remote_id"])
        video = factories.make_video(workspace_id)
        target = factories.make_target(
            factories.make_post(video), video, channel,
            state="confirming", asked=1, next_at=clock.now() + HOUR, due_at=clock.now(),
        )  # fmt: skip
        post(registry().get("tiktok"), make_request(CASE, token, b"x" * 9000))
        return Posted(app, target.id, channel.id)


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def taken(sim: Sim, count: int) -> Callable[[], bool]:
    """Return whether so many calls of the sandbox's were answered 200, and none otherwise."""

    def look() -> bool:
        statuses = [call["status"] for call in sim.call("GET", "webhooks")["deliveries"]]
        return len(statuses) >= count and set(statuses) == {200}

    return look


# -- the sandbox's own calls


def test_a_platforms_call_makes_the_target_due(posted: Posted, sim: Sim, base_url: str) -> None:
    assert posted.waits()
    sim.settings(webhook_url=base_url + WEBHOOK)
    assert until(lambda: not posted.waits())
    assert until(taken(sim, 2))  # complete, and publicly available


def test_each_call_told_three_times_is_one_hint(posted: Posted, sim: Sim, base_url: str) -> None:
    sim.settings(webhook_url=base_url + WEBHOOK, webhook_copies=3)
    assert until(taken(sim, 6))
    with posted.app.app_context():
        found = db.session.get_one(Target, posted.target_id)
        assert (found.state, found.fence, found.asked) == ("confirming", 0, 1)


def test_a_consent_taken_back_at_the_platform_asks_for_reconnecting(
    posted: Posted, sim: Sim, base_url: str
) -> None:
    sim.settings(webhook_url=base_url + WEBHOOK, webhook_copies=2)
    sim.call("POST", "grants/revoke", json={"platform": "tiktok", "reason": 1})
    assert until(lambda: posted.channel_status() == "needs_reconnect")


def test_a_person_who_wants_to_be_forgotten_at_the_platform_is_forgotten(
    app: Flask, sim: Sim, base_url: str
) -> None:
    person = FACEBOOK.person_id("sandbox-client-key")
    with app.app_context():
        channel = factories.make_channel(factories.make_person().workspace_id, platform="facebook")
        db.session.get_one(Credential, channel.credential_id).remote_user_id = person
        db.session.commit()
    sim.token(platform="facebook")
    sim.settings(webhook_url=base_url + "/api/v1/platforms/{platform}/{purpose}", webhook_copies=2)

    sim.call("POST", "grants/revoke", json={"platform": "facebook", "reason": REASON_DELETED})

    assert until(taken(sim, 4))  # deauthorize and data-deletion, each told twice
    with app.app_context():
        found = db.session.get_one(Channel, channel.id)
        assert (found.status, found.username) == ("disconnected", "")
        (wish,) = db.session.scalars(select(DeletionRequest)).all()
    assert "Done" in app.test_client().get(f"/data-deletion/{wish.code}").text


# -- by hand


def event(name: str = "post.publish.complete", **changes: Any) -> str:
    facts = {"client_key": "sandbox-client-key", "event": name, "user_openid": "u1", "content": "{}"}
    return json.dumps(facts | {"create_time": int(time.time())} | changes)


def test_a_signed_call_is_answered_at_once_with_nothing(client: FlaskClient) -> None:
    answer = client.post(WEBHOOK, data=event(), headers=sign(event(), SECRET))
    assert (answer.status_code, answer.data, answer.mimetype) == (200, b"", "text/plain")


@pytest.mark.parametrize(
    "headers", [{}, sign(event(), "another secret"), {"TikTok-Signature": "t=1,s=" + "0" * 64}]
)
def test_a_call_that_proves_nothing_is_refused_in_the_envelope(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    answer = client.post(WEBHOOK, data=event(), headers=headers)
    assert code(answer) == (403, "AUTHORIZATION_ERROR")


@pytest.mark.parametrize(
    "path", ["tiktok/deauthorize", "tiktok/data-deletion", "nosuch/webhook", "tiktok%2F../webhook"]
)
def test_what_no_platform_takes_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.post(f"/api/v1/platforms/{path}", data=b"signed_request=x")
    assert code(answer) == (404, "RESOURCE_NOT_FOUND")


def test_a_long_body_is_refused_before_it_is_read(client: FlaskClient) -> None:
    answer = client.post(WEBHOOK, data=b"x" * (256 * 1024 + 1))
    assert answer.status_code == 413


def test_calls_are_counted_by_how_they_ended(client: FlaskClient) -> None:
    client.post(WEBHOOK, data=event(), headers=sign(event(), SECRET))
    client.post(WEBHOOK, data=event())
    text = client.get("/metrics").text
    for status in ("accepted", "refused"):
        assert f'platform_callbacks_total{{platform="tiktok",purpose="webhook",status="{status}"}}' in text


HOSTILE = [
    b"",
    b"&".join(b"a=%d" % number for number in range(50)),
    b"signed_request=%E9%00.%FF",
    b"signed_request=" + b"." * 9000,
    b"{" * 9000,
    b'{"entry": 7, "client_key": [], "event": {}}',
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_calls_are_refused_by_every_platform(app: Flask, client: FlaskClient, body: bytes) -> None:
    with app.app_context():
        taken = [(name, purpose) for name in registry().names() for purpose in registry().get(name).callbacks]
    kinds = {"Content-Type": "application/x-www-form-urlencoded"}
    proofs = {"X-Hub-Signature-256": "sha256=\xe9", "TikTok-Signature": "t=\xb2,s=\xe9"}
    answers = {
        path: client.post(path, data=body, headers=kinds | proofs).status_code
        for path in (f"/api/v1/platforms/{n}/{p.replace('_', '-')}" for n, p in taken)
    }
    assert answers and set(answers.values()) == {403}, answers
