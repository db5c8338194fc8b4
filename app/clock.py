"""The one source of time. Everything asks `now()`; tests freeze it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds on a clock that never steps back and, on Linux, stands still only in suspend."""
    return time.monotonic()


def isoformat(instant: datetime) -> str:
    """Return an instant as the API writes it: UTC with a `Z`, e.g. `2026-11-23T19:00:00Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
