"""When a post goes out: an instant, or a wall clock in a time zone. Pure: `now` is always given.

Every refusal is an InvalidScheduleTimeError whose details say `field`, `reason` (naive, malformed, past,
too_far, unknown_zone, offset_contradicts_zone, ambiguous, missing), `found` and `allowed`.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

from app.exceptions import InvalidScheduleTimeError

GRACE = timedelta(seconds=60)  # a request may be under way for a moment, and clocks differ
HORIZON = timedelta(days=731)  # two years, one of them a leap year
NOT_PLACES = frozenset({"Factory", "localtime", "posixrules"})  # what this machine calls them, not IANA
INSTANT = "an instant with an offset, such as 2027-01-31T18:00:00+01:00 or 2027-01-31T17:00:00Z"
WALL_CLOCK = "a local time without an offset, such as 2027-01-31T18:00:00, beside a timezone"


@dataclass(frozen=True)
class Schedule:
    """`at` is the instant in UTC; `timezone` and `local` are what the user meant, where they said it."""

    at: datetime
    timezone: str | None = None
    local: str | None = None

    @property
    def note(self) -> str | None:
        """What became of a wall clock that does not exist, or exists twice; None for all others."""
        if self.timezone is None or self.local is None:
            return None
        return _note(datetime.fromisoformat(self.local), self.at, zoneinfo.ZoneInfo(self.timezone))


def from_instant(
    text: str, *, timezone: str | None = None, now: datetime, field: str = "scheduled_at"
) -> Schedule:
    """Read an instant with its offset; `timezone`, if given, must agree with the offset.

    A `Z` agrees with every zone: it names the instant and says nothing of the local offset (RFC 9557, 3.4).
    """
    moment = _parse(text, field=field, allowed=INSTANT)
    if moment.utcoffset() is None:
        raise _refusal(
            field,
            "naive",
            f"{text!r} has no offset, so it is not clear when that is. Add one, or send it as "
            "scheduled_local with a timezone.",
            found=text,
            allowed=INSTANT,
        )
    at = _within_reach(_to_utc(moment, text, field), text, now=now, field=field)
    if timezone is None:
        return Schedule(at)
    local = at.astimezone(_zone(timezone))
    if text[-1] not in "Zz" and local.utcoffset() != moment.utcoffset():
        allowed = f"{local.isoformat()} in {timezone}"
        raise _refusal(
            field,
            "offset_contradicts_zone",
            f"{text!r} does not have the offset of {timezone} at that time. "
            "Correct the one or the other, or leave the timezone out.",
            found=text,
            allowed=allowed,
        )
    return Schedule(at, timezone, local.replace(tzinfo=None).isoformat())


def from_wall_clock(
    text: str, *, timezone: str | None, now: datetime, field: str = "scheduled_local"
) -> Schedule:
    """Read a local time in a zone. In a gap it is shifted forward, in an overlap the first is taken."""
    if not timezone:
        raise _refusal(
            "timezone",
            "missing",
            "A local time needs a timezone. Add one.",
            found=None,
            allowed="an IANA name",
        )
    wall_clock = _parse(text, field=field, allowed=WALL_CLOCK)
    if wall_clock.utcoffset() is not None:
        raise _refusal(
            field,
            "offset_contradicts_zone",
            f"{text!r} has an offset, but a local time takes its own from the "
            "timezone. Remove the offset, or send it as scheduled_at.",
            found=text,
            allowed=WALL_CLOCK,
        )
    zone = _zone(timezone)
    at = _within_reach(_to_utc(wall_clock.replace(tzinfo=zone), text, field), text, now=now, field=field)
    return Schedule(at, timezone, wall_clock.isoformat())


def later_than(text: str, *, due_at: datetime, field: str = "late_until") -> datetime:
    """Read the instant until which a post may be late. It must lie after `due_at`."""
    moment = _parse(text, field=field, allowed=INSTANT)
    if moment.utcoffset() is None:
        raise _refusal(field, "naive", f"{text!r} has no offset. Add one.", found=text, allowed=INSTANT)
    until = _to_utc(moment, text, field)
    check_late_until(until, due_at=due_at, field=field)
    return until


def check_late_until(until: datetime, *, due_at: datetime, field: str = "late_until") -> None:
    """Raise when a post would be too late before it is due."""
    if until <= due_at:
        raise _refusal(
            field,
            "past",
            "This lies before the time of the post. Choose a later one.",
            found=_shown(until),
            allowed=f"after {_shown(due_at)}",
        )


def check_reach(at: datetime, *, now: datetime, field: str = "scheduled_at") -> None:
    """Raise when a time that was set before lies in the past by now, or too far ahead."""
    _within_reach(at, _shown(at), now=now, field=field)


def contradiction(given: list[str]) -> InvalidScheduleTimeError:
    """Return the error for more than one answer to the question when, or none."""
    allowed = ["scheduled_at", "scheduled_local with timezone", "publish_now", "draft"]
    if given:
        message = f"{' and '.join(given)} contradict each other. Send only one of them."
        return _refusal(given[0], "ambiguous", message, found=given, allowed=allowed)
    message = (
        "When should this go out? Send scheduled_at, scheduled_local with timezone, publish_now or draft."
    )
    return _refusal("scheduled_at", "missing", message, found=None, allowed=allowed)


def _parse(text: str, *, field: str, allowed: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise _refusal(
            field,
            "malformed",
            f"{text[:60]!r} is not a time we can read. Write it as {allowed}.",
            found=text[:60],
            allowed=allowed,
        ) from None


def _to_utc(moment: datetime, text: str, field: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _refusal(
            field, "malformed", f"{text!r} is outside the calendar.", found=text, allowed=INSTANT
        ) from None


def _within_reach(at: datetime, text: str, *, now: datetime, field: str) -> datetime:
    allowed = f"from {_shown(now)} to {_shown(now + HORIZON)}"
    if at < now - GRACE:
        message = f"{text!r} is in the past. Choose a later time, or send publish_now."
        raise _refusal(field, "past", message, found=_shown(at), allowed=allowed)
    if at > now + HORIZON:
        message = f"{text!r} is more than two years ahead. Choose an earlier time."
        raise _refusal(field, "too_far", message, found=_shown(at), allowed=allowed)
    return at


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - NOT_PLACES


def _zone(name: str) -> zoneinfo.ZoneInfo:
    if name in _zone_names():
        return zoneinfo.ZoneInfo(name)
    shown = name[:60]
    near = get_close_matches(shown, _zone_names(), n=3, cutoff=0.7)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    raise _refusal(
        "timezone",
        "unknown_zone",
        f"{shown!r} is not a time zone we know.{hint} Use a name such as Europe/Berlin.",
        found=shown,
        allowed=near or "an IANA name such as Europe/Berlin",
    )


def _note(wall_clock: datetime, at: datetime, zone: zoneinfo.ZoneInfo) -> str | None:
    there = at.astimezone(zone).replace(tzinfo=None)
    asked = wall_clock.isoformat(sep=" ", timespec="minutes")
    if there != wall_clock:
        shown = there.isoformat(sep=" ", timespec="minutes")
        return f"{asked} does not exist in {zone.key}: clocks go forward. It was moved to {shown}."
    second = wall_clock.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if second != at:
        return f"{asked} comes twice in {zone.key}: clocks go back. The first was taken, {_shown(at)}."
    return None


def _refusal(field: str, reason: str, message: str, *, found: Any, allowed: Any) -> InvalidScheduleTimeError:
    details = {"field": field, "reason": reason, "found": found, "allowed": allowed}
    return InvalidScheduleTimeError(message, details)


def _shown(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
