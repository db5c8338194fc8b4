"""Links to stored files: signed, expiring, good for anybody who has them, and the files behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from app import clock
from app.exceptions import ResourceNotFoundError
from app.extensions import settings
from app.security import LinkSigner
from app.storage import Storage, available

PURPOSE = "file"
ROUNDED_TO = 300  # seconds; the same link for a while lets browsers keep what they have


@dataclass(frozen=True)
class LinkedFile:
    """What a link opens: size in bytes, how to serve it, and how to read a range of it."""

    storage: Storage
    key: str
    size: int
    content_type: str
    name: str
    etag: str
    expires_in: int

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from `start`; the file is opened when the first is asked for."""
        return self.storage.iter_range(self.key, start, length)


def link(
    key: str,
    *,
    backend: str,
    content_type: str,
    name: str,
    version: str,
    lifetime: timedelta | None = None,
) -> str:
    """Return a link to a stored file that works for `lifetime` or FILE_LINK_SECONDS, five minutes more or less.

    `backend` is where it is looked for first: it may be moved while the link lives. `name` is what a browser
    saves it as; `version` changes whenever the bytes do (a hash).
    """
    expires_at = _expiry(lifetime or timedelta(seconds=settings().file_link_seconds))
    payload = {
        "k": key,
        "b": backend,
        "t": content_type,
        "n": name,
        "v": version[:32],
        "x": int(expires_at.timestamp()),
    }
    token = _signer().sign(payload, purpose=PURPOSE, expires_at=expires_at)
    ending = key.rpartition("/")[2]
    return f"{settings().public_url.rstrip('/')}/files/{token}/{quote(ending)}"


def find(token: str) -> LinkedFile:
    """Return the file a link opens. Raises AuthorizationError (forged, expired) or ResourceNotFoundError."""
    now = clock.now()
    payload = _signer().verify(token, purpose=PURPOSE, at=now)
    storage, size = _located(payload["k"], payload.get("b"))
    return LinkedFile(
        storage=storage,
        key=payload["k"],
        size=size,
        content_type=payload["t"],
        name=payload["n"],
        etag=hashlib.sha256(f"{payload['k']}:{payload['v']}".encode()).hexdigest()[:32],
        expires_in=max(int(payload["x"] - now.timestamp()), 0),
    )


def _located(key: str, backend: str | None) -> tuple[Storage, int]:
    """Return the store that has the file now, and its size. Raises ResourceNotFoundError."""
    for storage in available(backend):
        try:
            return storage, storage.size(key)
        except ResourceNotFoundError:
            continue
    raise ResourceNotFoundError(resource_type="File", resource_id=key)


def _expiry(lifetime: timedelta) -> datetime:
    wanted = clock.now() + lifetime
    rounding = min(ROUNDED_TO, max(int(lifetime.total_seconds()) // 4, 1))
    return datetime.fromtimestamp(-(-wanted.timestamp() // rounding) * rounding, UTC)


def _signer() -> LinkSigner:
    return LinkSigner(settings().secret_key)
