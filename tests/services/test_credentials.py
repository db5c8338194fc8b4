"""Keeping grants alive against the sandbox, whose refresh tokens rotate and work once; on both databases."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.extensions import db
from app.models import Channel, Credential, Target
from app.services import credentials
from tests.rig import Rig
from tests.sandbox_server import SandboxServer, sandbox_thread

SOON = timedelta(minutes=5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path, database_url: str, redis_url: str, server: SandboxServer) -> Iterator[Rig]:
    server.sim.reset()
    with Rig(tmp_path / "data", database_url, redis_url, server) as made, made.app.app_context():
        yield made


@pytest.fixture
def credential_id(rig: Rig) -> uuid.UUID:
    """A grant whose access token is about to expire."""
    credential = db.session.get_one(Credential, db.session.get_one(Channel, rig.channel_id).credential_id)
    credential.expires_at = clock.now() + timedelta(seconds=1)
    credential.refreshed_at = None
    db.session.commit()
    return credential.id


def reread(credential_id: uuid.UUID) -> Credential:
    """Return the row as it is now; no transaction stays open, for the service works in another context."""
    row = db.session.get_one(Credential, credential_id, populate_existing=True)
    db.session.commit()
    return row


def ensure(app: Flask, credential_id: uuid.UUID) -> None:
    with app.app_context():
        credentials.ensure_fresh(credential_id, until=clock.now() + SOON)


def test_an_expiring_token_is_renewed_and_both_new_tokens_are_kept(rig: Rig, credential_id: uuid.UUID):
    before = reread(credential_id).refresh_token_encrypted

    ensure(rig.app, credential_id)
    credential = reread(credential_id)
    assert credential.expires_at is not None
    assert credential.expires_at > clock.now() + SOON
    assert credential.refresh_token_encrypted != before

    credential.expires_at = clock.now()
    db.session.commit()
    ensure(rig.app, credential_id)  # the rotated token works, so it was the one that was saved


def test_many_at_once_refresh_once(rig: Rig, credential_id: uuid.UUID):
    threads = [threading.Thread(target=ensure, args=(rig.app, credential_id)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert reread(credential_id).status == "active"
    assert len(rig.sandbox.sim.requests(operation="tiktok.token")) == 1


def test_a_dead_grant_asks_for_reconnecting_and_holds_what_waits(rig: Rig, credential_id: uuid.UUID):
    target_id = rig.target(caption="waits", due_in=3600)
    sealed = credentials.seal(credential_id, "refresh_token", "rft.used-up")
    reread(credential_id).refresh_token_encrypted = sealed
    db.session.commit()

    with pytest.raises(PlatformAuthError):
        ensure(rig.app, credential_id)

    assert reread(credential_id).status == "needs_reconnect"
    assert db.session.get_one(Channel, rig.channel_id, populate_existing=True).status == "needs_reconnect"
    assert db.session.get_one(Target, target_id, populate_existing=True).hold == "reconnect"


def test_a_platform_that_is_down_does_not_kill_the_grant(rig: Rig, credential_id: uuid.UUID):
    rig.sandbox.sim.fault("tiktok.token", "status", status=503)

    with pytest.raises(PlatformAPIError):
        ensure(rig.app, credential_id)

    credential = reread(credential_id)
    assert (credential.status, credential.retries, credential.lease_until) == ("active", 1, None)
    ensure(rig.app, credential_id)


def test_a_refresh_with_a_lost_lease_saves_nothing(rig: Rig, credential_id: uuid.UUID):
    before = reread(credential_id).access_token_encrypted

    credentials.refresh(credential_id, fence=99)

    assert reread(credential_id).access_token_encrypted == before
    assert rig.sandbox.sim.requests(operation="tiktok.token") == []


def test_a_refused_token_is_renewed_once_before_it_is_called_dead(rig: Rig, credential_id: uuid.UUID):
    refused = PlatformAuthError(platform="tiktok")

    credentials.doubt(credential_id, refused, used=None, channel_id=rig.channel_id)
    assert reread(credential_id).status == "active"
    ensure(rig.app, credential_id)
    credentials.doubt(
        credential_id, refused, used=reread(credential_id).refreshed_at, channel_id=rig.channel_id
    )

    assert reread(credential_id).status == "needs_reconnect"


def test_a_token_refused_after_it_was_renewed_does_not_kill_the_grant(rig: Rig, credential_id: uuid.UUID):
    used = reread(credential_id).refreshed_at
    ensure(rig.app, credential_id)
    renewed = reread(credential_id).expires_at

    credentials.doubt(
        credential_id, PlatformAuthError(platform="tiktok"), used=used, channel_id=rig.channel_id
    )

    after = reread(credential_id)
    assert (after.status, after.expires_at) == ("active", renewed)


def test_a_token_doubted_while_it_is_renewed_is_left_to_whoever_renews_it(rig: Rig, credential_id: uuid.UUID):
    fence = credentials._claim(credential_id, until=clock.now() + SOON)
    leased = reread(credential_id).next_at

    credentials.doubt(
        credential_id, PlatformAuthError(platform="tiktok"), used=None, channel_id=rig.channel_id
    )

    after = reread(credential_id)
    assert (after.fence, after.next_at) == (fence, leased)  # the dispatcher does not take the lease away


def test_a_token_renewed_between_the_look_and_the_claim_is_not_renewed_again(
    rig: Rig, credential_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
):
    claim = credentials._claim
    fence = claim(credential_id, until=clock.now() + SOON)
    assert fence is not None

    def claim_late(credential_id: uuid.UUID, **options: Any) -> int | None:
        monkeypatch.setattr(credentials, "_claim", claim)
        credentials.refresh(credential_id, fence)  # whoever had the lease is ready at this very moment
        return claim(credential_id, **options)

    monkeypatch.setattr(credentials, "_claim", claim_late)
    credentials.ensure_fresh(credential_id, until=clock.now() + SOON)

    assert len(rig.sandbox.sim.requests(operation="tiktok.token")) == 1


def test_rotated_tokens_are_kept_though_the_lease_ended_meanwhile(
    rig: Rig, credential_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
):
    trade = credentials._trade

    def slow_trade(row: Credential, platform: Any) -> Any:
        tokens = trade(row, platform)
        db.session.execute(update(Credential).values(fence=Credential.fence + 1))
        db.session.commit()
        return tokens

    monkeypatch.setattr(credentials, "_trade", slow_trade)
    credentials.ensure_fresh(credential_id, until=clock.now() + SOON)
    ensure(rig.app, credential_id)

    assert len(rig.sandbox.sim.requests(operation="tiktok.token")) == 1


def test_a_death_between_a_rotating_answer_and_its_save_ends_in_reconnecting_with_targets_held(
    rig: Rig, credential_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
):
    target_id = rig.target(caption="waits", due_in=3600)

    def die(point: str, *_: str) -> None:
        raise SystemExit(point)  # the answer is in hand and nothing of it is saved

    with monkeypatch.context() as dying:
        dying.setattr(credentials.crash_points, "hit", die)
        with pytest.raises(SystemExit):
            ensure(rig.app, credential_id)
    reread(credential_id).lease_until = clock.now()  # the dead worker's lease ends
    db.session.commit()

    with pytest.raises(PlatformAuthError):
        ensure(rig.app, credential_id)

    assert reread(credential_id).status == "needs_reconnect"
    assert db.session.get_one(Target, target_id, populate_existing=True).hold == "reconnect"
