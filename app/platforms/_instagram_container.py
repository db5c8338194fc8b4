"""One container at Instagram as we remember it: what stands in a target's handle, and how long it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app import clock
from app.platforms.base import should_renew

LIFE = timedelta(hours=24)
MARGIN = timedelta(minutes=15)  # handles are given up this long before Instagram ends them
LAST_MOMENT = timedelta(minutes=1)  # a commit is not begun when less is left
MAX_FAILURES = 3  # containers that Instagram could not use, before a person is told
MAX_MISSES = 3  # times in a row that Instagram did not know a container it had given
POLL_SECONDS = (5, 5, 10, 20, 30, 60)


@dataclass(frozen=True)
class Container:
    """`id` is empty when the last one failed and the next is not made yet; times are Unix time.

    `uri` is where bytes go (empty: Instagram fetches them), `uploaded` how many were sent: it is asked what it has.
    `is_whole`: what was broken off was not kept, so it is sent in one.
    `working_since` is when it had all bytes, `is_doubtful` whether it said that it could not work on them,
    which need not be final. `failures` counts containers before this one that came to nothing.
    """

    id: str
    size: int
    created_at: float
    uri: str = field(default="", repr=False)
    uploaded: int = 0
    working_since: float = 0.0
    polls: int = 0
    misses: int = 0
    failures: int = 0
    is_doubtful: bool = False
    is_ready: bool = False
    is_whole: bool = False

    @classmethod
    def from_handle(cls, handle: Mapping[str, Any]) -> Container:
        """Read what `as_handle` wrote; names from a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in handle.items() if name in known})

    @classmethod
    def none(cls, size: int) -> Container:
        """Return what stands for one that is still to be made."""
        return cls("", size, clock.now().timestamp())

    def as_handle(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def has_all_bytes(self) -> bool:
        return not self.uri or self.uploaded >= self.size

    @property
    def dies_at(self) -> datetime:
        return datetime.fromtimestamp(self.created_at, UTC) + LIFE

    @property
    def expires_at(self) -> datetime:
        """Return until when the container may be relied on."""
        return self.dies_at - MARGIN

    def is_dying(self) -> bool:
        """Return whether too little of its life is left for a commit."""
        return clock.now() > self.dies_at - LAST_MOMENT

    def should_be_renewed(self, due_at: datetime) -> bool:
        """Return whether a new one would serve better: this one ends before the due time, it would not."""
        return should_renew(self.expires_at, due_at, life=LIFE - MARGIN)

    def polled(self) -> Container:
        """Return it with one more look counted."""
        return replace(self, polls=self.polls + 1, misses=0)

    def pause(self) -> float:
        """Return the seconds until the next look: soon at first, once a minute later."""
        return float(POLL_SECONDS[min(self.polls, len(POLL_SECONDS) - 1)])

    def failed(self) -> Container:
        """Return what is remembered when this one came to nothing."""
        return Container("", self.size, clock.now().timestamp(), failures=self.failures + 1)
