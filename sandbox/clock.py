"""The sandbox's own time: real time plus an offset, or standing still. Expiry is judged by it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class VirtualClock:
    """Seconds since the epoch. `offset` shifts real time; `frozen_at` stops it."""

    offset: float = 0.0
    frozen_at: float | None = None

    def now(self) -> float:
        """Return the virtual time in seconds since the epoch."""
        return time.time() + self.offset if self.frozen_at is None else self.frozen_at

    def advance(self, seconds: float) -> None:
        """Move the virtual time by `seconds`, running or frozen."""
        if self.frozen_at is None:
            self.offset += seconds
        else:
            self.frozen_at += seconds

    def set(self, instant: float) -> None:
        """Make it `instant` now, running or frozen as before."""
        self.advance(instant - self.now())

    def freeze(self) -> None:
        """Stop at the present virtual time."""
        self.frozen_at = self.now()

    def run(self) -> None:
        """Run on from the present virtual time."""
        if self.frozen_at is not None:
            self.offset, self.frozen_at = self.frozen_at - time.time(), None


def isoformat(instant: float | None) -> str | None:
    """Return an instant as ISO 8601 in UTC with microseconds, e.g. `2026-11-23T19:00:00.000000Z`."""
    if instant is None:
        return None
    moment = datetime.fromtimestamp(instant, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
