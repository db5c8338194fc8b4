"""Published posts are watched on: for a late id, and for removal by the platform; drafts for their publication."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from app import clock
from app.domain import target_error
from app.domain.retry import poll_delay
from app.domain.target_state import State
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Step, Target
from app.platforms.base import Published, Rejected
from app.services import removal, steps
from app.services.leases import FREE
from app.services.outcomes import WATCH_DELAYS, Outcome, of_ours
from app.services.publishing import Loaded

LOOK_AGAIN = 60.0  # seconds until a post that was not there is called gone


def after_watch(item: Loaded, outcome: Outcome) -> State | None:
    if isinstance(outcome, Published):
        outcome = of_ours(item, outcome)
    if item.state == "awaiting_user":
        return _after_waiting_for_user(item, outcome)
    if isinstance(outcome, Rejected):
        return _removed(item, outcome)
    known: dict[str, Any] = {}
    if isinstance(outcome, Published):
        told = {"remote_id": outcome.remote_id, "permalink": outcome.permalink}
        known = {"error": None} | {column: value for column, value in told.items() if value is not None}
    Target.note(item.ref, **FREE, **known, asked=item.asked + 1, next_at=_next_watch(item, outcome))
    if "remote_id" in known and item.request.remote_id is None:
        Step.wake(item.ref.id)
    return None


def _removed(item: Loaded, outcome: Rejected) -> State | None:
    """The post is gone: deleted by us in a call whose answer was lost, or taken down, which is asked twice.

    For `removed` is final, and platforms have moments in which they do not know their own posts.
    """
    if removal.was_wanted(item.ref.id):
        return _gone(item, target_error.removed_by_user(item.platform.name))
    error = outcome.error.to_dict()
    if _was_missed(item):
        return _gone(item, error)
    again_at = clock.now() + item.platform.lasting(LOOK_AGAIN)
    Target.note(item.ref, **FREE, error=error, asked=item.asked + 1, next_at=again_at)
    return None


def _was_missed(item: Loaded) -> bool:
    """Was the post not there the last time, too? A published target has an error for no other reason."""
    return db.session.scalar(select(Target.error).where(Target.id == item.ref.id)) is not None


def _gone(item: Loaded, error: dict[str, Any]) -> State | None:
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


def _next_watch(item: Loaded, outcome: Outcome) -> datetime | None:
    """Return when to look again: often while the id is missing, then at growing distances, then never."""
    now = clock.now()
    published_at = item.published_at or now
    if now > published_at + item.platform.watch_for:
        return None
    if isinstance(outcome, PlatformAPIError):
        soon = now + poll_delay(item.asked)
        return max(soon, outcome.retry_at) if outcome.retry_at else soon
    known = outcome.complete if isinstance(outcome, Published) else item.request.remote_id is not None
    if not known:
        return now + poll_delay(item.asked)
    return next((published_at + delay for delay in WATCH_DELAYS if published_at + delay > now), None)
