"""Taking claimed targets: whose token cannot be renewed is told, and keeps nobody waiting; on both databases."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Credential, Target
from app.services import credentials, instance, taking
from app.services.publishing import Loaded
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")


def spoil(item: Loaded, **columns: Any) -> Loaded:
    """Let the token of the target's grant be over."""
    credential = db.session.get_one(Credential, item.credential_id)
    for name, value in ({"expires_at": clock.now()} | columns).items():
        setattr(credential, name, value)
    db.session.commit()
    db.session.expunge_all()
    return item


def take(*items: Loaded) -> list[uuid.UUID]:
    assert instance.check() is None
    return [item.ref.id for item in taking.take([(item.ref.id, item.ref.fence) for item in items])]


def reread(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


@pytest.mark.parametrize("state", ["staged", "confirming", "published", "awaiting_user"])
def test_a_target_with_a_dead_grant_is_not_taken_and_comes_back_ever_later(claimed: Claimed, state: str):
    item = spoil(claimed(state, published_at=clock.now(), committed_at=clock.now()), status="needs_reconnect")

    assert take(item) == []

    target = reread(item)
    assert (target.state, target.lease_until) == (state, None)
    assert target.retries + target.asked == 1


def test_a_doubtful_target_with_a_dead_grant_goes_to_a_person_after_a_day(claimed: Claimed):
    long_ago = clock.now() - 25 * HOUR
    item = spoil(claimed("confirming", committed_at=long_ago, retries=10), status="needs_reconnect")

    assert take(item) == []

    assert reread(item).state == "unknown"


def test_those_with_good_tokens_do_not_wait_for_a_renewal(claimed: Claimed, monkeypatch: pytest.MonkeyPatch):
    stale, fresh = spoil(claimed("staged")), claimed("staged")
    order: list[uuid.UUID] = []

    def refuse(credential_id: uuid.UUID, **_: Any) -> None:
        order.append(credential_id)
        raise PlatformAPIError("not now", platform="tiktok")

    monkeypatch.setattr(credentials, "ensure_fresh", refuse)
    assert instance.check() is None
    for item in taking.take([(item.ref.id, 1) for item in (stale, fresh)]):
        order.append(item.ref.id)

    assert order == [fresh.ref.id, stale.credential_id]


def test_a_token_endpoint_that_hangs_holds_up_no_job(claimed: Claimed, monkeypatch: pytest.MonkeyPatch):
    stale, fresh = spoil(claimed("staged")), claimed("staged")
    answer, all_there = threading.Event(), threading.Event()
    submitted: list[uuid.UUID] = []

    def hang(_credential_id: uuid.UUID, **_: Any) -> None:
        assert answer.wait(10)

    def submit(items: Iterable[Loaded]) -> None:
        submitted.extend(item.ref.id for item in items)
        if len(submitted) == 2:
            all_there.set()

    monkeypatch.setattr(credentials, "ensure_fresh", hang)
    assert instance.check() is None
    taking.hand_in([(item.ref.id, 1) for item in (stale, fresh)], submit)

    assert submitted == [fresh.ref.id]
    answer.set()
    assert all_there.wait(10)
    assert submitted == [fresh.ref.id, stale.ref.id]


def test_too_many_that_hang_are_left_to_their_leases(claimed: Claimed, monkeypatch: pytest.MonkeyPatch):
    stale = spoil(claimed("staged"))
    monkeypatch.setattr(taking, "_renewing", threading.BoundedSemaphore(1))
    monkeypatch.setattr(credentials, "ensure_fresh", lambda *_, **__: pytest.fail("it was asked"))
    assert taking._renewing.acquire(blocking=False)
    submitted: list[Loaded] = []

    taking.hand_in([(stale.ref.id, 1)], submitted.extend)

    assert submitted == []
    assert reread(stale).lease_until is not None
