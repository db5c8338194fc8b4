"""When a platform's quota begins anew. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

# A window that begins with its first use has one row, used again and again; this stands for its beginning.
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """From `starts_at` up to, not including, `ends_at`; UTC."""

    starts_at: datetime
    ends_at: datetime


def window_at(at: datetime, *, length: timedelta, timezone: str | None) -> Span:
    """Return the window a use at `at` falls into, or would begin.

    With a zone it is the calendar day there, of 23 to 25 hours; without, it lasts `length` from its first use
    on, and begins at ANY_TIME because nobody knows when that first use is.
    """
    if timezone is None:
        return Span(ANY_TIME, at + length)
    zone = ZoneInfo(timezone)
    today = at.astimezone(zone).date()
    return Span(_midnight(today, zone), _midnight(today + timedelta(days=1), zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
