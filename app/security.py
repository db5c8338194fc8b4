"""Secrets: sealing them at rest, hashing them, making them, and signing links. Pure functions, no Flask."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Self

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.config_faults import parse_key_ring
from app.exceptions import AppException, AuthorizationError

NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: 96 bits
API_KEY_PREFIX = "vsk"
_hasher = PasswordHasher()  # argon2id with the library's defaults: RFC 9106's low-memory profile


class SealedValueError(AppException):
    """A sealed value cannot be opened: unknown key, altered, or moved from another row."""

    default_message = "A stored secret could not be read."


@dataclass(frozen=True)
class KeyRing:
    """Keys for AES-256-GCM by id, newest first. The newest seals; all of them open."""

    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `id:base64-of-32-bytes, ...`. Raises ValueError when there is no usable key."""
        keys = parse_key_ring(text)
        if not keys:
            raise ValueError("ENCRYPTION_KEYS holds no usable key: id:base64-of-32-bytes, newest first.")
        return cls(keys)

    def encrypt(self, plaintext: str, *, context: str) -> str:
        """Seal a text for one place, `table:column:row_id`. Returns `keyid:base64(nonce + ciphertext)`."""
        key_id = next(iter(self.keys))
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[key_id]).encrypt(nonce, plaintext.encode(), context.encode())
        return f"{key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, token: str, *, context: str) -> str:
        """Open what `encrypt` sealed for the same place. Raises SealedValueError for anything else."""
        key_id, _, encoded = token.partition(":")
        if key_id not in self.keys:
            raise SealedValueError("A stored secret was sealed with a key that is no longer in the ring.")
        try:
            raw = base64.b64decode(encoded, validate=True)
            nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return AESGCM(self.keys[key_id]).decrypt(nonce, sealed, context.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealedValueError(
                "A stored secret was altered or belongs to another row.", {"place": context}
            ) from None

    def needs_rotation(self, token: str) -> bool:
        """Was this sealed with a key other than the newest?"""
        return token.partition(":")[0] != next(iter(self.keys))


def hash_password(password: str) -> str:
    """Return an argon2id hash with its own salt and parameters. Takes about 0.1 s: throttle before."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Is this the password? Without a stored hash (no such user) it costs the same time and says no."""
    try:
        return _hasher.verify(stored or _dummy_hash(), password) and stored is not None
    except VerifyMismatchError:
        return False


def password_needs_rehash(stored: str) -> bool:
    """Was this hash made with weaker parameters than today's?"""
    return _hasher.check_needs_rehash(stored)


@cache
def _dummy_hash() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))


def new_secret() -> str:
    """Return 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret as hex. Only for random secrets: a password would be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secrets_equal(left: str, right: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    return hmac.compare_digest(_to_bytes(left), _to_bytes(right))


@dataclass(frozen=True)
class NewApiKey:
    """A new API key. Store `public_id` and `hash_secret(secret)`; show `full` once."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def full(self) -> str:
        return f"{API_KEY_PREFIX}_{self.public_id}_{self.secret}"


def new_api_key() -> NewApiKey:
    """Make an API key `vsk_<12 hex characters>_<secret>`."""
    return NewApiKey(public_id=secrets.token_hex(6), secret=new_secret())


def parse_api_key(full: str) -> tuple[str, str] | None:
    """Split a full API key into its public id and secret; None when it does not look like one."""
    prefix, _, rest = full.partition("_")
    public_id, _, secret = rest.partition("_")
    return (public_id, secret) if prefix == API_KEY_PREFIX and public_id and secret else None


@dataclass(frozen=True)
class LinkSigner:
    """Signs what a link may open, until when and for which purpose, so that no lookup is needed."""

    secret: str = field(repr=False)

    def sign(self, payload: Mapping[str, Any], *, purpose: str, expires_at: datetime) -> str:
        """Return a URL-safe token that carries `payload` (JSON-able) until `expires_at`."""
        body = json.dumps({"x": int(expires_at.timestamp()), "p": dict(payload)}, separators=(",", ":"))
        encoded = _to_base64url(body.encode())
        return f"{encoded}.{self._signature(encoded, purpose)}"

    def verify(self, token: str, *, purpose: str, at: datetime) -> dict[str, Any]:
        """Return the payload. Raises AuthorizationError when forged, meant for something else, or expired."""
        encoded, _, signature = token.partition(".")
        if not secrets_equal(signature, self._signature(encoded, purpose)):
            raise AuthorizationError("This link is not valid. Ask for a new one.")
        body = json.loads(_from_base64url(encoded))
        if at.timestamp() >= body["x"]:
            raise AuthorizationError("This link has expired. Ask for a new one.")
        payload: dict[str, Any] = body["p"]
        return payload

    def _signature(self, encoded: str, purpose: str) -> str:
        message = _to_bytes(f"link:{purpose}:{encoded}")
        return _to_base64url(hmac.digest(self.secret.encode(), message, "sha256"))


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # hostile input may hold lone surrogates


def _to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise AuthorizationError("This link is not valid. Ask for a new one.") from None
