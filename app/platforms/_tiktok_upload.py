"""One upload to TikTok as we remember it: its handle, its chunks, how long it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app import clock
from app.platforms._transport import RequestBody, StreamBody
from app.platforms.base import ByteSource, should_renew

# The documentation's examples count megabytes in tens (media transfer guide); checked in the sandbox only.
CHUNK_MIN, CHUNK_MAX = 5_000_000, 64_000_000
MAX_CHUNKS = 1000
SINGLE_BELOW = 10_000_000  # smaller files are one chunk, all of it sent by the commit
QUICK_BYTES = 10_000_000  # a commit that sends more needs a job of its own
URL_LIFE = timedelta(hours=1)
MARGIN = timedelta(minutes=5)  # handles are given up this long before their URL dies
LAST_MOMENT = timedelta(minutes=1)  # a commit is not begun when less is left


class Plan(NamedTuple):
    """How a file is cut: `chunks` pieces of `chunk_size` bytes, the last one carrying the remainder."""

    chunk_size: int
    chunks: int


def plan(size: int, *, chunk_size: int) -> Plan:
    """Return how to cut `size` bytes: the count is rounded down, so the last chunk is up to twice as long."""
    if size < SINGLE_BELOW:
        return Plan(size, 1)
    chunk = max(chunk_size, -(-size // MAX_CHUNKS))
    if size // chunk > 1:
        return Plan(chunk, size // chunk)
    return Plan(size, 1) if size <= CHUNK_MAX else Plan(size // 2, 2)


def other_plan(size: int, refused: Plan) -> Plan | None:
    """Return the one plan to try after "chunk size is invalid", or None: whole, else TikTok's own example."""
    whole = size <= CHUNK_MAX
    other = Plan(size, 1) if whole else plan(size, chunk_size=2 * CHUNK_MIN)
    return other if other != refused else None


@dataclass(frozen=True)
class Upload:
    """What stands in a target's handle. The first `uploaded` bytes are stored; `created_at` is Unix time."""

    publish_id: str
    upload_url: str = field(repr=False)
    size: int
    chunk_size: int
    chunk_count: int
    created_at: float
    uploaded: int = 0

    @classmethod
    def from_handle(cls, handle: Mapping[str, Any]) -> Upload:
        """Read what `as_handle` wrote; names from a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in handle.items() if name in known})

    def as_handle(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def last_start(self) -> int:
        """Return where the chunk that publishes begins."""
        return self.chunk_size * (self.chunk_count - 1)

    @property
    def commit_start(self) -> int:
        """Return where the committing call begins: later than the last chunk if part of that is stored."""
        return max(self.last_start, self.uploaded)

    @property
    def dies_at(self) -> datetime:
        return datetime.fromtimestamp(self.created_at, UTC) + URL_LIFE

    @property
    def expires_at(self) -> datetime:
        """Return until when the handle may be relied on."""
        return self.dies_at - MARGIN

    def chunk_end(self, start: int) -> int:
        """Return where (exclusive) the chunk that holds byte `start` ends."""
        return min((start // self.chunk_size + 1) * self.chunk_size, self.last_start)

    def is_dying(self) -> bool:
        """Return whether too little of the URL's life is left for a commit."""
        return clock.now() > self.dies_at - LAST_MOMENT

    def should_be_renewed(self, due_at: datetime) -> bool:
        """Return whether a new upload would serve better: this one ends before the due time, it would not."""
        return should_renew(self.expires_at, due_at, life=URL_LIFE - MARGIN)


@contextmanager
def stream(source: ByteSource, start: int, end: int) -> Iterator[StreamBody]:
    """Open bytes `start` to `end` (exclusive) of the video as a request's body."""
    with source.open(start, end - start) as opened:
        yield StreamBody(opened, end - start)


def read_ahead(
    source: ByteSource, first: int, end: int
) -> Callable[[int], AbstractContextManager[RequestBody | bytes]]:
    """Return what gives the body from a byte on, `first` or later: from memory, or streamed when too long."""
    if end - first > QUICK_BYTES:
        return lambda start: stream(source, start, end)
    with stream(source, first, end) as body:
        pieces = []
        while len(body):
            pieces.append(body.read())
    data = b"".join(pieces)
    return lambda start: nullcontext(data[start - first :])
