"""What TikTok tells us, and how it proves that it is TikTok."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from app import clock
from app.exceptions import AuthorizationError
from app.platforms.base import Callback, Notice, Platform
from tests.platforms.conftest import RegistryMaker

# The vector of the project's platform reference, 2.10.
VECTOR_BODY = (
    b'{"client_key":"ck","event":"post.publish.complete","create_time":1700000000,"user_openid":"u1",'
    b'"content":"{\\"publish_id\\":\\"v_pub_file~v2-1.1\\",\\"publish_type\\":\\"DIRECT_PUBLISH\\"}"}'
)
VECTOR_SIGNATURE = "t=1700000000,s=8572516bff5ad44bccebe69ef4bc7f5c13bc89bcf1d8bce7f7a668acd5ca6903"
VECTOR_TIME = datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.fixture
def tiktok(make_registry: RegistryMaker) -> Platform:
    return make_registry(TIKTOK_CLIENT_KEY="ck", TIKTOK_CLIENT_SECRET="tt_secret").get("tiktok")


def call(body: bytes, signature: str | None, *, method: str = "POST") -> Callback:
    headers = {} if signature is None else {"tiktok-signature": signature}
    return Callback("webhook", method, {}, headers, body)


def signed(event: Any, *, secret: str = "tt_secret", at: datetime | None = None) -> Callback:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    stamp = str(int((at or clock.now()).timestamp()))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return call(body, f"t={stamp},s={digest}")


def event(name: str, **changes: Any) -> dict[str, Any]:
    facts = {"client_key": "ck", "event": name, "create_time": 1_700_000_000, "user_openid": "u1"}
    return facts | {"content": "{}"} | changes


def test_the_known_vector_is_accepted(tiktok: Platform) -> None:
    with time_machine.travel(VECTOR_TIME, tick=False):
        received = tiktok.receive(call(VECTOR_BODY, VECTOR_SIGNATURE))
    assert received.notices == [Notice("changed", "u1")]


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (VECTOR_BODY + b" ", VECTOR_SIGNATURE),
        (VECTOR_BODY, VECTOR_SIGNATURE[:-1] + "4"),
        (VECTOR_BODY, VECTOR_SIGNATURE.replace("t=1700000000", "t=1700000001")),
        (VECTOR_BODY, "t=1700000000,s="),
        (VECTOR_BODY, "s=00"),
        (VECTOR_BODY, "t=99999999999999999999,s=" + "0" * 64),
        (VECTOR_BODY, None),
    ],
    ids=["body", "digest", "stamp", "empty", "half", "huge", "none"],
)
def test_what_was_altered_or_not_signed_is_refused(
    tiktok: Platform, body: bytes, signature: str | None
) -> None:
    with time_machine.travel(VECTOR_TIME, tick=False), pytest.raises(AuthorizationError):
        tiktok.receive(call(body, signature))


def test_without_a_secret_of_ours_nobody_can_prove_anything(make_registry: RegistryMaker) -> None:
    platform = make_registry(TIKTOK_CLIENT_KEY="ck", TIKTOK_CLIENT_SECRET="").get("tiktok")
    with pytest.raises(AuthorizationError):
        platform.receive(signed(event("post.publish.complete"), secret=""))


@pytest.mark.parametrize(
    "age", [timedelta(hours=72, minutes=59), timedelta(minutes=-4)], ids=["old", "ahead"]
)
def test_a_retry_may_be_three_days_old_and_a_clock_a_little_ahead(tiktok: Platform, age: timedelta) -> None:
    callback = signed(event("post.publish.complete"), at=clock.now() - age)
    assert tiktok.receive(callback).notices == [Notice("changed", "u1")]


@pytest.mark.parametrize("age", [timedelta(hours=73, minutes=1), timedelta(minutes=-6)], ids=["old", "ahead"])
def test_what_is_older_or_from_the_future_is_refused(tiktok: Platform, age: timedelta) -> None:
    callback = signed(event("post.publish.complete"), at=clock.now() - age)
    with pytest.raises(AuthorizationError):
        tiktok.receive(callback)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("post.publish.failed", "changed"),
        ("post.publish.inbox_delivered", "changed"),
        ("post.publish.publicly_available", "changed"),
        ("post.publish.no_longer_publicaly_available", "changed"),
        ("video.upload.failed", "changed"),
        ("video.publish.completed", "changed"),
        ("something.new", None),
    ],
)
def test_every_event_about_a_post_is_a_hint_to_ask(tiktok: Platform, name: str, what: str | None) -> None:
    notices = tiktok.receive(signed(event(name))).notices
    assert [(notice.what, notice.id) for notice in notices] == ([(what, "u1")] if what else [])


def test_a_removed_consent_says_when(tiktok: Platform) -> None:
    (notice,) = tiktok.receive(signed(event("authorization.removed"))).notices
    assert notice == Notice("revoked", "u1", at=VECTOR_TIME)


@pytest.mark.parametrize(
    "changes", [{"user_openid": 7}, {"user_openid": ""}, {"user_openid": "x" * 201}, {"event": None}]
)
def test_a_signed_event_of_a_wrong_shape_means_nothing(tiktok: Platform, changes: dict[str, Any]) -> None:
    assert tiktok.receive(signed(event("post.publish.complete", **changes))).notices == []


@pytest.mark.parametrize("seconds", ["soon", None, True, -1, 10**30])
def test_a_strange_time_of_a_removed_consent_is_left_out(tiktok: Platform, seconds: Any) -> None:
    (notice,) = tiktok.receive(signed(event("authorization.removed", create_time=seconds))).notices
    assert notice.at is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"[" * 5000, json.dumps(event("post.x", client_key="other")).encode()]
)
def test_what_names_another_app_or_none_is_refused(tiktok: Platform, body: bytes) -> None:
    with pytest.raises(AuthorizationError):
        tiktok.receive(signed(body))


def test_a_visit_with_a_browser_is_refused(tiktok: Platform) -> None:
    callback = call(b"", None, method="GET")
    with pytest.raises(AuthorizationError):
        tiktok.receive(callback)
