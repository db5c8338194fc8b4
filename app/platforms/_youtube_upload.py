"""One upload to YouTube as we remember it: its handle, its session, and the video it became."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from app import clock
from app.platforms._transport import RequestBody, StreamBody
from app.platforms._youtube_rules import PRIVATE
from app.platforms.base import HANDLE_MARGIN, ByteSource

QUICK_BYTES = 10_000_000  # a commit that sends more needs a job of its own
SESSION_LIFE = timedelta(days=3)  # YouTube says "finite"; reports say a week
CLOCK_SLACK = timedelta(minutes=5)  # between YouTube's clock and ours
BY_UPDATE, BY_LAST_CHUNK = "update", "last_chunk"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RANGE = re.compile(r"bytes=0-(\d{1,15})")
_WRITABLE = {
    "embeddable": bool,
    "license": str,
    "publicStatsViewable": bool,
    "selfDeclaredMadeForKids": bool,
    "containsSyntheticMedia": bool,
}


@dataclass(frozen=True)
class Upload:
    """What stands in a target's handle. The first `uploaded` bytes are stored; times are Unix time.

    `mode` says which call publishes. `fields` is the writable rest of the video's status as YouTube has it,
    sent along with the new privacy. `thumbnail`: "" not tried, "set", "none" there is none, "failed".
    """

    session: str = field(repr=False)
    size: int
    mode: str
    started_at: float
    chunk_size: int
    uploaded: int = 0
    video_id: str | None = None
    completed_at: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    thumbnail: str = ""

    @classmethod
    def from_handle(cls, handle: Mapping[str, Any]) -> Upload:
        """Read what `as_handle` wrote; names from a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in handle.items() if name in known})

    def as_handle(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def staged_at(self) -> int:
        """Return how many bytes are sent ahead: all, or all but the chunk that publishes."""
        if self.mode == BY_UPDATE:
            return self.size
        return (self.size - 1) // self.chunk_size * self.chunk_size

    @property
    def expires_at(self) -> datetime | None:
        """Return until when the handle may be relied on; a video that is there does not end."""
        if self.mode == BY_UPDATE:
            return None
        return datetime.fromtimestamp(self.started_at, UTC) + SESSION_LIFE

    def chunk_end(self, start: int) -> int:
        """Return where (exclusive) the chunk that begins at byte `start` ends."""
        return min(start + self.chunk_size, self.staged_at)

    def should_be_renewed(self, due_at: datetime) -> bool:
        """Return whether a new session would serve better: this one ends before the due time."""
        ends = self.expires_at
        return ends is not None and ends < max(due_at, clock.now()) + HANDLE_MARGIN


@dataclass(frozen=True)
class Video:
    """What videos.list tells of a video, each value checked; "" and None for what it does not tell."""

    id: str
    upload_status: str
    privacy: str
    reason: str
    processing: str
    fields: Mapping[str, Any]
    tags: frozenset[str]
    published_at: str

    @property
    def is_processing(self) -> bool:
        return self.upload_status == "uploaded" and self.processing not in (
            "succeeded",
            "failed",
            "terminated",
        )

    @property
    def is_readable(self) -> bool:
        """Is it told who may see the video? Silence about that must not pass for public."""
        return bool(self.privacy) or self.is_gone

    @property
    def is_gone(self) -> bool:
        return self.upload_status == "deleted"

    def is_since(self, started_at: float) -> bool:
        """Return whether the video is not older than a session begun at that Unix time."""
        try:
            published_at = datetime.fromisoformat(self.published_at)
        except ValueError:
            return False
        since = datetime.fromtimestamp(started_at, UTC) - CLOCK_SLACK
        return published_at.tzinfo is not None and published_at >= since

    @property
    def is_private(self) -> bool:
        return self.privacy == PRIVATE

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Video | None:
        """Read a video resource, None when it names no id."""
        status, snippet, details = (part(item, name) for name in ("status", "snippet", "processingDetails"))
        video_id, tags = text(item.get("id")), snippet.get("tags")
        if not _ID.fullmatch(video_id):
            return None
        return cls(
            id=video_id,
            upload_status=text(status.get("uploadStatus")),
            privacy=text(status.get("privacyStatus")),
            reason=text(status.get("rejectionReason")) or text(status.get("failureReason")),
            processing=text(details.get("processingStatus")),
            fields={
                name: status[name] for name, kind in _WRITABLE.items() if isinstance(status.get(name), kind)
            },
            tags=frozenset(map(text, tags)) if isinstance(tags, list) else frozenset(),
            published_at=text(snippet.get("publishedAt")),
        )


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def part(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = item.get(name)
    return value if isinstance(value, dict) else {}


def objects(answer: Mapping[str, Any], name: str = "items") -> list[dict[str, Any]] | None:
    """Return the objects of a list in an answer, None if there is no such list."""
    values = answer.get(name)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else None


def stored_by(header: str | None) -> int | None:
    """Return how many bytes a 308's Range header says are stored: none without one; None if it is no Range."""
    if header is None:
        return 0
    found = _RANGE.fullmatch(header.strip())
    return int(found.group(1)) + 1 if found else None


@contextmanager
def stream(source: ByteSource, start: int, end: int) -> Iterator[StreamBody]:
    """Open bytes `start` to `end` (exclusive) as a request's body."""
    with source.open(start, end - start) as opened:
        yield StreamBody(opened, end - start)


def read_ahead(source: ByteSource, start: int, end: int) -> AbstractContextManager[RequestBody | bytes]:
    """Return the body from memory, or streamed when it is too long for that."""
    if end - start > QUICK_BYTES:
        return stream(source, start, end)
    with stream(source, start, end) as body:
        pieces = []
        while len(body):
            pieces.append(body.read())
    return nullcontext(b"".join(pieces))
