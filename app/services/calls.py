"""The engine's calls to a platform: frozen data in, an outcome out. They run in pool threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from app import clock, crash_points
from app.exceptions import PlatformAPIError
from app.monitoring import track_publish_lateness
from app.platforms.base import LeaseLost, PreparedCommit
from app.services.outcomes import Outcome
from app.services.publishing import Loaded


def wait_until_due(item: Loaded) -> None:
    """Return at the due time, not before it; or when the lease is lost, for a clock may be set back meanwhile."""
    while (left := (item.due_at - clock.now()).total_seconds()) > 0 and item.holds_lease():
        time.sleep(min(left, 0.1))


def send(prepared: PreparedCommit, item: Loaded) -> Outcome:
    """Make the one call that publishes, if the lease is still ours at this very moment."""
    if not item.holds_lease():
        raise LeaseLost
    lateness = (clock.now() - item.due_at).total_seconds()
    track_publish_lateness(platform=item.platform.name, seconds=lateness)
    crash_points.hit("commit.before_call", item.platform.name)
    outcome = prepared.send(item.commit_deadline)
    crash_points.hit("commit.after_call", item.platform.name)
    return outcome


def _preflight(item: Loaded) -> Outcome:
    outcome = item.platform.preflight(item.request, item.handle or {})
    crash_points.hit("preflight.after_call", item.platform.name)
    return outcome


def _locate(item: Loaded) -> Outcome:
    outcome = item.platform.locate(item.request, item.handle or {})
    crash_points.hit("locate.after_call", item.platform.name)
    return outcome


def _watch(item: Loaded) -> Outcome:
    return item.platform.watch(item.request, item.handle or {})


QUESTIONS: dict[str, Callable[[Loaded], Outcome]] = {
    "preflight": _preflight,
    "locate": _locate,
    "watch": _watch,
}


def as_doubt(item: Loaded, error: Exception, *, sending: bool) -> PlatformAPIError:
    """Return an error of our own as what it means: once the intent is written, doubt; before, a later try."""
    kind = "ambiguous" if sending and item.kind == "commit" else "transient"
    message = "Something went wrong on our side during this call."
    details: dict[str, Any] = {"error": type(error).__name__}
    return PlatformAPIError(message, details, platform=item.platform.name, kind=kind)  # type: ignore[arg-type]
