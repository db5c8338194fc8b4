from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.exceptions import AuthorizationError
from app.security import (
    KeyRing,
    LinkSigner,
    SealedValueError,
    hash_password,
    hash_secret,
    new_api_key,
    new_secret,
    parse_api_key,
    secrets_equal,
    verify_password,
)

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
PLACE = "credentials:access_token:42"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_what_was_sealed_opens_in_its_own_place() -> None:
    ring = KeyRing.from_text(NEW)

    sealed = ring.encrypt("tökén", context=PLACE)

    assert sealed.startswith("new:")
    assert "tökén" not in sealed
    assert ring.decrypt(sealed, context=PLACE) == "tökén"


def test_a_sealed_value_moved_to_another_row_is_refused() -> None:
    ring = KeyRing.from_text(NEW)
    sealed = ring.encrypt("token", context=PLACE)

    with pytest.raises(SealedValueError):
        ring.decrypt(sealed, context="credentials:access_token:43")


@pytest.mark.parametrize("position", [4, 20, -3])
def test_a_sealed_value_with_one_changed_character_is_refused(position: int) -> None:
    ring = KeyRing.from_text(NEW)
    letters = list(ring.encrypt("a longer token than one block", context=PLACE))
    letters[position] = "A" if letters[position] != "A" else "B"

    with pytest.raises(SealedValueError):
        ring.decrypt("".join(letters), context=PLACE)


@pytest.mark.parametrize("token", ["", "new", "new:", "new:AAAA", "new:!!", "gone:AAAA"])
def test_what_is_no_sealed_value_is_refused(token: str) -> None:
    with pytest.raises(SealedValueError):
        KeyRing.from_text(NEW).decrypt(token, context=PLACE)


def test_the_same_text_is_sealed_differently_each_time() -> None:
    ring = KeyRing.from_text(NEW)

    assert ring.encrypt("token", context=PLACE) != ring.encrypt("token", context=PLACE)


def test_an_older_key_still_opens_and_asks_for_rotation() -> None:
    sealed = KeyRing.from_text(OLD).encrypt("token", context=PLACE)
    ring = KeyRing.from_text(f"{NEW},{OLD}")

    assert ring.decrypt(sealed, context=PLACE) == "token"
    assert ring.needs_rotation(sealed)
    assert not ring.needs_rotation(ring.encrypt("token", context=PLACE))


def test_a_key_ring_without_a_key_is_refused_and_never_shown() -> None:
    with pytest.raises(ValueError, match="ENCRYPTION_KEYS"):
        KeyRing.from_text("new:tooshort")
    assert "nnnn" not in repr(KeyRing.from_text(NEW))


def test_only_the_right_password_is_accepted() -> None:
    stored = hash_password("correct horse")

    assert verify_password(stored, "correct horse")
    assert not verify_password(stored, "correct hors")


def test_an_unknown_user_costs_as_much_time_as_a_wrong_password() -> None:
    stored = hash_password("correct horse")
    verify_password(None, "warm up")

    def cost(candidate: str | None) -> float:
        start = time.process_time()
        assert not verify_password(candidate, "wrong")
        return time.process_time() - start

    assert cost(None) > min(cost(stored) for _ in range(3)) / 3


def test_an_api_key_is_shown_once_and_found_again_by_its_parts() -> None:
    key = new_api_key()

    assert key.full.startswith("vsk_")
    assert parse_api_key(key.full) == (key.public_id, key.secret)
    assert key.secret not in repr(key)
    assert hash_secret(key.secret) != hash_secret(new_api_key().secret)


@pytest.mark.parametrize("text", ["", "vsk", "vsk_", "vsk_abc", "vsk_abc_", "xyz_abc_def"])
def test_what_is_no_api_key_is_not_parsed(text: str) -> None:
    assert parse_api_key(text) is None


def test_secrets_are_long_different_and_compared_whole() -> None:
    one, other = new_secret(), new_secret()

    assert len(one) == 43
    assert secrets_equal(one, one)
    assert not secrets_equal(one, other)
    assert not secrets_equal(one, "é")


def test_a_signed_link_opens_until_it_expires() -> None:
    signer = LinkSigner("s" * 32)
    token = signer.sign({"key": "videos/1/a.mp4"}, purpose="file", expires_at=NOON)

    assert signer.verify(token, purpose="file", at=NOON - timedelta(seconds=1)) == {"key": "videos/1/a.mp4"}
    with pytest.raises(AuthorizationError, match="expired"):
        signer.verify(token, purpose="file", at=NOON)


def test_a_signed_link_is_bound_to_its_purpose_and_secret() -> None:
    token = LinkSigner("s" * 32).sign({"key": "a"}, purpose="file", expires_at=NOON)

    for signer, purpose in ((LinkSigner("s" * 32), "invite"), (LinkSigner("t" * 32), "file")):
        with pytest.raises(AuthorizationError, match="not valid"):
            signer.verify(token, purpose=purpose, at=NOON - timedelta(hours=1))


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.é", "\ud800.x", "x.\ud800"])
def test_a_made_up_link_is_refused(token: str) -> None:
    with pytest.raises(AuthorizationError):
        LinkSigner("s" * 32).verify(token, purpose="file", at=NOON)
