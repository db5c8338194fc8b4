"""How much of the calls Meta allows is used, as its answers' headers tell; and when to make no more of them.

`X-App-Usage` is about the app, `X-Business-Use-Case-Usage` about the account whose token was used. Both are input:
whatever is not a plain number in its place counts as not told. Source: developers.facebook.com, Graph API v26.0,
rate limits, read 2026-11.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app import clock

NEAR = 95.0  # percent from which we wait rather than run into the limit
LONGEST_WAIT = timedelta(hours=24)
SHORT, LONG = timedelta(minutes=15), timedelta(minutes=60)
APP, ACCOUNT = "app", "account"
_MAX_HEADER = 10_000  # characters
_COUNTS = ("call_count", "total_cputime", "total_time")
_KINDS = frozenset({"pages", "instagram"})
_ENTRIES = 100


class Usage(NamedTuple):
    """The highest of the percentages told, and in what time calls are taken again, if they are not."""

    percent: float
    regain: timedelta | None


def of_app(headers: Mapping[str, str]) -> Usage | None:
    """Return how much of the app's calls is used, None where it is not told."""
    told = _object(headers.get("X-App-Usage"))
    return Usage(_percent(told), None) if any(name in told for name in _COUNTS) else None


def of_account(headers: Mapping[str, str]) -> Usage | None:
    """Return how much of the account's calls is used, None where it is not told."""
    entries = [*_entries(_object(headers.get("X-Business-Use-Case-Usage")))]
    if not entries:
        return None
    minutes = max(_number(entry.get("estimated_time_to_regain_access")) for entry in entries)
    regain = min(timedelta(minutes=minutes), LONGEST_WAIT) if minutes else None
    return Usage(max(map(_percent, entries)), regain)


def guessed_wait(headers: Mapping[str, str]) -> timedelta:
    """Return how long to wait when nothing is told: an app over its hour's limit needs longer."""
    usage = of_app(headers)
    return LONG if usage and usage.percent >= 100 else SHORT


class Room:
    """Until when no more calls are to be made, for the app and for each token, by Meta's latest word.

    For one process; thread-safe. `pace` divides what is our guess.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._until: dict[tuple[str, str], datetime] = {}

    def note(self, token: str, headers: Mapping[str, str]) -> None:
        """Take in what an answer tells; what it does not tell stays as it was."""
        for key, usage in (((APP, ""), of_app(headers)), ((ACCOUNT, token), of_account(headers))):
            if usage is None:
                continue
            if usage.percent >= NEAR or usage.regain:
                self._until[key] = clock.now() + (usage.regain or SHORT / self._pace)
            else:
                self._until.pop(key, None)
        if len(self._until) > _ENTRIES:
            now = clock.now()
            self._until = {key: until for key, until in [*self._until.items()] if until > now}

    def closed(self, token: str) -> tuple[str, datetime] | None:
        """Return whose calls are used up (APP or ACCOUNT) and until when, None while there is room."""
        keys = ((APP, ""), (ACCOUNT, token))
        found = [(until, key[0]) for key in keys if (until := self._until.get(key))]
        until, whose = max(found, default=(None, ""))
        return (whose, until) if until and until > clock.now() else None


def _entries(usages: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    lists = [entries for entries in usages.values() if isinstance(entries, list)]
    dicts = [entry for entries in lists[:_ENTRIES] for entry in entries[:_ENTRIES] if isinstance(entry, dict)]
    return (entry for entry in dicts if entry.get("type", "pages") in _KINDS)


def _percent(usage: Mapping[str, Any]) -> float:
    return max(_number(usage.get(name)) for name in _COUNTS)


def _number(value: object) -> float:
    """Return a plain number that makes sense here, else 0."""
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and 0 < value < 1e6 else 0.0  # type: ignore[arg-type,operator]


def _object(value: str | None) -> dict[str, Any]:
    try:
        found = json.loads(value) if value and len(value) <= _MAX_HEADER else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
