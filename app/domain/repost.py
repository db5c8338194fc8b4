"""The rule against posting the same content to the same channel again within 24 hours. Pure.

Only content counts, not text: the same file with another caption is still a repost. Source: the guide.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from app.exceptions import RepostTooSoonError

GAP = timedelta(hours=24)


def next_allowed(wanted: datetime, others: Iterable[datetime]) -> datetime:
    """Return the first instant from `wanted` on that is at least 24 hours from each of `others`."""
    allowed = wanted
    for other in sorted(others):
        if abs(allowed - other) < GAP:
            allowed = other + GAP
    return allowed


def check(wanted: datetime, others: Iterable[datetime], *, platform: str) -> None:
    """Raise RepostTooSoonError when `wanted` is too near one of `others`; hours are counted from `wanted`."""
    allowed = next_allowed(wanted, others)
    if allowed > wanted:
        hours = (allowed - wanted).total_seconds() / 3600
        raise RepostTooSoonError(platform=platform, hours_remaining=hours, next_allowed_at=allowed)
