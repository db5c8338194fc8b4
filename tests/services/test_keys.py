"""Sealing everything anew, beside those who work with what is sealed; on both databases."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import clock, create_app
from app.extensions import db, key_ring
from app.models import Channel, Connection, Credential, IdempotencyKey, Mail, Target, Upload, Webhook
from app.models.base import new_id
from app.platforms.base import Tokens
from app.platforms.tiktok import TikTok
from app.security import KeyRing
from app.services import credentials, doctor, keys, publishing
from tests import factories
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url")
K1, K2 = (f"k{number}:" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
CONTEXTS = {
    "channels.access_token": "channels:access_token",
    "connections.tokens": "connections:tokens",
    "connections.verifier": "connections:verifier",
    "credentials.access_token": "credentials:access_token",
    "credentials.refresh_token": "credentials:refresh_token",
    "idempotency_keys.body": "idempotency_keys:body",
    "mails.facts": "mails:facts",
    "targets.handle": "targets:handle",
    "uploads.url": "uploads:url",
    "webhooks.old_secret": "webhooks:secret",
    "webhooks.secret": "webhooks:secret",
}


@pytest.fixture
def context(make_settings: SettingsMaker) -> Iterator[Flask]:
    """The app with one key; `with_keys` gives it others."""
    app = create_app(make_settings(encryption_keys=K1))
    with app.app_context():
        yield app
    dispose(app)


@pytest.fixture
def with_keys(context: Flask) -> Callable[..., None]:
    def use(*keys_: str) -> None:
        context.extensions["key_ring"] = KeyRing.from_text(",".join(keys_))

    return use


@pytest.fixture
def channel(context: Flask) -> Channel:
    return make_channel(make_person().workspace_id)


def seal_everything(channel: Channel) -> dict[str, uuid.UUID]:
    """Write `secret` into every sealed column there is; return the rows' ids by table."""
    post = make_post(make_video(channel.workspace_id), channel)
    target = db.session.scalars(select(Target).where(Target.post_id == post.id)).one()
    ids = {"channels": channel.id, "credentials": channel.credential_id, "targets": target.id}
    ids |= {name: new_id() for name in ("connections", "idempotency_keys", "mails", "uploads", "webhooks")}
    shared: dict[str, Any] = {"workspace_id": channel.workspace_id}
    db.session.add_all(
        [
            Connection(id=ids["connections"], platform="tiktok", state_hash="s", nonce_hash="n",
                       expires_at=clock.now(), **shared),
            IdempotencyKey(id=ids["idempotency_keys"], principal="p", key="k", request_hash="h",
                           expires_at=clock.now(), **shared),
            Mail(id=ids["mails"], kind="invitation", recipient="a@example.com", facts_encrypted=""),
            Upload(id=ids["uploads"], kind="url", backend="folder", key="k", expires_at=clock.now(), **shared),
            Webhook(id=ids["webhooks"], url="https://x.example", secret_encrypted="", **shared),
        ]
    )  # fmt: skip
    db.session.flush()
    for place in keys.places():
        id_ = ids[place.table.name]
        sealed = key_ring().encrypt("secret", context=f"{CONTEXTS[place.name]}:{id_}")
        db.session.execute(update(place.table).where(place.table.c.id == id_).values({place.column: sealed}))
    db.session.commit()
    return ids


def stored(place: keys.Place, id_: uuid.UUID) -> str:
    return str(db.session.execute(select(place.column).where(place.table.c.id == id_)).scalar_one())


def rotate() -> tuple[int, int]:
    """Return how many values were sealed anew and how many could not be read."""
    ends = {progress.place: progress for progress in keys.rotate()}
    return sum(end.sealed for end in ends.values()), sum(end.unreadable for end in ends.values())


def test_every_sealed_column_is_sealed_anew_and_opens_with_the_newest_key_alone(
    channel: Channel, with_keys: Callable[..., None]
) -> None:
    ids = seal_everything(channel)
    assert {place.name for place in keys.places()} == set(CONTEXTS)

    with_keys(K2, K1)
    assert rotate() == (len(CONTEXTS), 0)

    with_keys(K2)
    for place in keys.places():
        id_ = ids[place.table.name]
        opened = key_ring().decrypt(stored(place, id_), context=f"{CONTEXTS[place.name]}:{id_}")
        assert opened == "secret", place.name


def test_what_is_done_is_not_done_again_and_old_keys_are_known_to_be_unused(
    channel: Channel, with_keys: Callable[..., None]
) -> None:
    with_keys(K2, K1)
    assert keys.old_keys() == {"k1": ["credentials.access_token", "credentials.refresh_token"]}

    assert (rotate(), rotate()) == ((2, 0), (0, 0))

    assert keys.old_keys() == {"k1": []}


def test_it_goes_on_over_many_batches(
    channel: Channel, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "BATCH", 2)
    for _ in range(4):
        make_channel(channel.workspace_id)
    with_keys(K2, K1)

    steps = [progress.sealed for progress in keys.rotate() if progress.place == "credentials.access_token"]

    assert steps == [2, 4, 5, 5]


def test_a_value_no_key_opens_stops_nobody(channel: Channel, with_keys: Callable[..., None]) -> None:
    other = make_channel(channel.workspace_id)
    lost = update(Credential).where(Credential.id == channel.credential_id)
    db.session.execute(lost.values(access_token_encrypted="k0:gone", refresh_token_encrypted="k1:broken"))
    db.session.commit()
    with_keys(K2, K1)

    assert rotate() == (2, 2)

    fine = db.session.get_one(Credential, other.credential_id, populate_existing=True)
    assert credentials.reveal(fine.id, "access_token", fine.access_token_encrypted) == factories.ACCESS_TOKEN


def test_what_was_written_meanwhile_is_left_alone(
    channel: Channel, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(K2, K1)
    newer = credentials.seal(channel.credential_id, "access_token", "newer")
    read = keys._next_rows

    def read_then_somebody_writes(place: keys.Place, **options: Any) -> Any:
        rows = read(place, **options)
        db.session.execute(update(Credential).values(access_token_encrypted=newer))
        db.session.commit()
        return rows

    monkeypatch.setattr(keys, "_next_rows", read_then_somebody_writes)
    rotate()

    kept = db.session.get_one(Credential, channel.credential_id, populate_existing=True)
    assert kept.access_token_encrypted == newer


def test_a_token_being_renewed_survives(
    channel: Channel, with_keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform has ended the old token with its answer: the new one must be kept whatever seals the old."""

    def refresh(_self: TikTok, token: str) -> Tokens:
        assert token == factories.REFRESH_TOKEN
        rotate()
        return Tokens("renewed", "refresh-2", clock.now(), None, frozenset())

    monkeypatch.setattr(TikTok, "refresh", refresh)
    db.session.execute(update(Credential).values(fence=1))
    db.session.commit()
    with_keys(K2, K1)

    credentials.refresh(channel.credential_id, 1)

    kept = db.session.get_one(Credential, channel.credential_id, populate_existing=True)
    assert credentials.reveal(kept.id, "refresh_token", kept.refresh_token_encrypted or "") == "refresh-2"
    assert credentials.reveal(kept.id, "access_token", kept.access_token_encrypted) == "renewed"


def test_a_grant_connected_anew_meanwhile_is_not_overwritten(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refresh(_self: TikTok, _token: str) -> Tokens:
        sealed = credentials.seal(channel.credential_id, "refresh_token", "of the new consent")
        db.session.execute(update(Credential).values(refresh_token_encrypted=sealed))
        db.session.commit()
        return Tokens("renewed", "refresh-2", clock.now(), None, frozenset())

    monkeypatch.setattr(TikTok, "refresh", refresh)
    db.session.execute(update(Credential).values(fence=1))
    db.session.commit()

    credentials.refresh(channel.credential_id, 1)

    kept = db.session.get_one(Credential, channel.credential_id, populate_existing=True)
    assert (
        credentials.reveal(kept.id, "refresh_token", kept.refresh_token_encrypted or "")
        == "of the new consent"
    )


def test_a_handle_is_still_a_handle(channel: Channel, with_keys: Callable[..., None]) -> None:
    post = make_post(make_video(channel.workspace_id), channel)
    target = db.session.scalars(select(Target).where(Target.post_id == post.id)).one()
    target.handle_encrypted = publishing.seal_handle(target.id, {"publish_id": "p", "uploaded": 7})
    db.session.commit()
    before = target.updated_at
    with_keys(K2, K1)

    rotate()

    found = db.session.get_one(Target, target.id, populate_existing=True)
    assert publishing.open_handle(found) == {"publish_id": "p", "uploaded": 7}
    assert (found.handle_encrypted or "").startswith("k2:") and found.updated_at == before


# -- as an operator sees it


def test_the_command_says_what_it_did_and_which_keys_are_unused(
    context: Flask, channel: Channel, with_keys: Callable[..., None]
) -> None:
    with_keys(K2, K1)

    done = context.test_cli_runner().invoke(args=["keys", "rotate"])

    assert done.exit_code == 0, done.output
    assert "1 sealed anew in credentials.access_token" in done.output
    assert "Key k1 is unused now." in done.output
    assert factories.ACCESS_TOKEN not in json.dumps(done.output)


def test_the_command_fails_while_an_old_key_is_needed(
    context: Flask, channel: Channel, with_keys: Callable[..., None]
) -> None:
    db.session.execute(update(Credential).values(access_token_encrypted="k1:broken"))
    db.session.commit()
    with_keys(K2, K1)

    done = context.test_cli_runner().invoke(args=["keys", "rotate"])

    assert done.exit_code == 1
    assert "1 cannot be read with any key" in done.output
    assert "Key k1 still seals something in credentials.access_token" in done.output


def test_the_doctor_knows_which_keys_are_in_use(
    context: Flask, channel: Channel, with_keys: Callable[..., None]
) -> None:
    def said() -> list[tuple[str, str]]:
        return [(found.level, found.message) for found in doctor._keys()]

    one = said()
    with_keys(K2, K1)
    two = said()
    rotate()

    assert one == [("ok", "One key seals everything: k1.")]
    where = "credentials.access_token, credentials.refresh_token"
    assert two == [("warn", f"The old key k1 still seals {where}.")]
    assert said() == [("ok", "The old key k1 seals nothing any more. It may be removed.")]
