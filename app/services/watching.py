"""Published posts are watched on: for a late id, and for removal by the platform; drafts for their publication."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app import clock
from app.domain import target_error
from app.domain.retry import poll_delay
from app.domain.target_state import State
from app.models import Step, Target
from app.platforms.base import Published, Rejected
from app.services import removal, steps
from app.services.leases import FREE
from app.services.outcomes import WATCH_DELAYS, Outcome
from app.services.publishing import Loaded


def after_watch(item: Loaded, outcome: Outcome) -> State | None:
    if item.state == "awaiting_user":
        return _after_waiting_for_user(item, outcome)
    if isinstance(outcome, Rejected):
        return _removed(item, outcome)
    found = (
        {"remote_id": outcome.remote_id, "permalink": outcome.permalink}
        if isinstance(outcome, Published)
        else {}
    )
    known = {column: value for column, value in found.items() if value is not None}
    complete = isinstance(outcome, Published) and outcome.complete
    Target.note(item.ref, **FREE, **known, asked=item.asked + 1, next_at=_next_watch(item, complete=complete))
    if "remote_id" in known and item.request.remote_id is None:
        Step.wake(item.ref.id)
    return None


def _removed(item: Loaded, outcome: Rejected) -> State | None:
    """The post is gone: taken down, or deleted by us in a call whose answer was lost."""
    wanted = removal.was_wanted(item.ref.id)
    error = target_error.removed_by_user(item.platform.name) if wanted else outcome.error.to_dict()
    moved = _end(item, "removed", error)
    if moved:
        Step.stop(item.ref.id)
    return moved


def _after_waiting_for_user(item: Loaded, outcome: Outcome) -> State | None:
    """A draft is published or refused, or its deadline passes, whatever else the platform says."""
    if isinstance(outcome, Published):
        return _finished_by_user(item, outcome)
    if isinstance(outcome, Rejected):
        return _end(item, "failed", outcome.error.to_dict())
    if item.late_until is not None and item.late_until <= clock.now():
        return _end(item, "expired", target_error.expired(item.platform.name))
    again_at = clock.now() + poll_delay(item.asked)
    Target.note(item.ref, **FREE, asked=item.asked + 1, next_at=again_at)
    return None


def _end(item: Loaded, after: State, error: dict[str, Any]) -> State | None:
    moved = Target.move(item.ref, before={item.state}, after=after, **FREE, next_at=None, error=error)
    return after if moved else None


def _finished_by_user(item: Loaded, outcome: Published) -> State | None:
    now = clock.now()
    moved = Target.move(
        item.ref,
        before={"awaiting_user"},
        after="published",
        **FREE,
        published_at=now,
        remote_id=outcome.remote_id,
        permalink=outcome.permalink,
        error=None,
        next_at=now + (WATCH_DELAYS[0] if outcome.complete else poll_delay(0)),
    )
    if moved:
        steps.plan(item, remote_id=outcome.remote_id)
    return "published" if moved else None


def _next_watch(item: Loaded, *, complete: bool) -> datetime | None:
    """Return when to look again: often while the id is missing, then at growing distances, then never."""
    now = clock.now()
    published_at = item.published_at or now
    if now > published_at + item.platform.watch_for:
        return None
    if not complete:
        return now + poll_delay(item.asked)
    return next((published_at + delay for delay in WATCH_DELAYS if published_at + delay > now), None)
