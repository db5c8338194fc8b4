"""One upload to Facebook as we remember it, and bodies that stream: a file's rest, and a part in a form."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from app import clock
from app.platforms._transport import StreamBody
from app.platforms.base import ByteSource, should_renew

# How long Meta keeps an unfinished video is not told anywhere: a day is assumed, and it is asked before use.
LIFE = timedelta(hours=24)
MARGIN = timedelta(minutes=15)  # handles are given up this long before
LAST_MOMENT = timedelta(minutes=1)  # a commit is not begun when less is left


@dataclass(frozen=True)
class Upload:
    """What stands in a target's handle. `created_at` is Unix time.

    Of a reel the first `uploaded` bytes are stored. Of a video Facebook wants the bytes `uploaded` to `wanted`
    next, and has all when the two are equal. `is_whole`: what was broken off was not kept, so it is sent in one.
    """

    kind: Literal["reel", "video"]
    video_id: str
    size: int
    created_at: float
    upload_url: str = field(default="", repr=False)
    session_id: str = field(default="", repr=False)
    uploaded: int = 0
    wanted: int = 0
    is_whole: bool = False

    @classmethod
    def from_handle(cls, handle: Mapping[str, Any]) -> Upload:
        """Read what `as_handle` wrote; names from a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in handle.items() if name in known})

    def as_handle(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def dies_at(self) -> datetime:
        return datetime.fromtimestamp(self.created_at, UTC) + LIFE

    @property
    def expires_at(self) -> datetime:
        """Return until when the handle may be relied on."""
        return self.dies_at - MARGIN

    def is_dying(self) -> bool:
        """Return whether too little of its life is left for a commit."""
        return clock.now() > self.dies_at - LAST_MOMENT

    def should_be_renewed(self, due_at: datetime) -> bool:
        """Return whether a new upload would serve better: this one ends before the due time, it would not."""
        return should_renew(self.expires_at, due_at, life=LIFE - MARGIN)


class FormBody:
    """A multipart form whose last field is a stretch of a file; it is never held in memory."""

    def __init__(
        self, inner: StreamBody, form: Mapping[str, str], *, field_name: str, content_type: str
    ) -> None:
        self.boundary = secrets.token_hex(16)
        self._head = _head(form, self.boundary, field_name, content_type)
        self._inner = inner
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    def __len__(self) -> int:
        return len(self._head) + len(self._inner) + len(self._tail)

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            block, self._head = self._head, b""
            return block
        if len(self._inner):
            return self._inner.read(size)
        block, self._tail = self._tail, b""
        return block


def _head(form: Mapping[str, str], boundary: str, field_name: str, content_type: str) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; filename="file"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return "".join(parts).encode()


@contextmanager
def stream(source: ByteSource, start: int, end: int) -> Iterator[StreamBody]:
    """Open bytes `start` to `end` (exclusive) of a file as a request's body."""
    with source.open(start, end - start) as opened:
        yield StreamBody(opened, end - start)
