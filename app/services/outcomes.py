"""What an answer, an error or a silence means for a target whose intent is written. One function an outcome.

The rule behind all of it: once the intent is written, only `Published`, a refusal that certainly published
nothing, or asking the platform may end it. Whatever else happens is "ambiguous" and leads to asking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app import clock
from app.domain import target_error
from app.domain.retry import poll_delay
from app.domain.target_state import IN_FLIGHT, State
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.models import ChannelContent, Target
from app.platforms.base import (
    Accepted,
    AwaitingUser,
    HandleDead,
    NotCommitted,
    NotStaged,
    Pending,
    Published,
    Rejected,
    Unknown,
)
from app.services import ledger, steps
from app.services.blocks import is_block
from app.services.leases import FREE
from app.services.publishing import Loaded
from app.services.refusals import deferred, quota_returns_at, try_again_at

CONFIRM_FOR = timedelta(hours=24)  # how long a platform may leave us in doubt before a person is asked
ASKED_OFTEN = 10  # and how often it must have been asked in vain besides: some minutes, by the pauses
ODD_FOR = 600.0  # seconds: platforms have moments in which they refuse what they answer otherwise
ASK_AGAIN = timedelta(minutes=5)
WATCH_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (10, 60, 360, 1440))
NO_HANDLE: dict[str, Any] = {
    "handle_encrypted": None,
    "handle_expires_at": None,
    "preflighted_at": None,
    "progress_bytes": 0,
}
NOTHING_STAGED: dict[str, Any] = {**NO_HANDLE, "is_slow_commit": False, "commit_bytes": 0}
AFRESH: dict[str, Any] = {**NOTHING_STAGED, "retries": 0, "asked": 0, "error": None}
_PUBLISHED: dict[str, Any] = FREE | {"error": None, "retries": 0, "asked": 0}

Outcome = (
    Published
    | Accepted
    | AwaitingUser
    | Pending
    | NotCommitted
    | NotStaged
    | HandleDead
    | Rejected
    | Unknown
    | PlatformAPIError
    | None
)


def after_call(item: Loaded, outcome: Outcome) -> State | None:
    """Apply what a commit or a question ended in, in the caller's transaction; return the new state, if any."""
    if isinstance(outcome, PlatformAPIError):
        return _after_error(item, outcome)
    return _AFTER[type(outcome)](item, outcome)


def after_commits(results: Sequence[tuple[Loaded, Outcome]]) -> list[tuple[Loaded, State | None]]:
    """Apply what many commits ended in, as `after_call`; what they have in common in one go.

    A burst of posts ends nearly always in the same two ways, and each statement counts then.
    """
    accepted = [(item, outcome) for item, outcome in results if isinstance(outcome, Accepted)]
    published = [(item, outcome) for item, outcome in results if isinstance(outcome, Published)]
    others = [pair for pair in results if not isinstance(pair[1], Accepted | Published)]
    return [
        *_all_accepted(accepted),
        *_all_published(published),
        *((item, after_call(item, outcome)) for item, outcome in others),
    ]


def _all_accepted(results: Sequence[tuple[Loaded, Accepted]]) -> list[tuple[Loaded, State | None]]:
    own = {item.ref: {"next_at": outcome.check_at, "asked": item.asked + 1} for item, outcome in results}
    moved = Target.move_each(own, before={"publishing"}, after="confirming", **FREE, retries=0)
    return [(item, "confirming" if item.ref.id in moved else None) for item, _ in results]


def _all_published(results: Sequence[tuple[Loaded, Published]]) -> list[tuple[Loaded, State | None]]:
    now = clock.now()
    results = [(item, of_ours(item, outcome)) for item, outcome in results]
    own = {item.ref: _of_published(outcome, now) for item, outcome in results}
    before: frozenset[State] = IN_FLIGHT
    moved = Target.move_each(own, before=before, after="published", **_PUBLISHED, published_at=now)
    for item, outcome in results:
        if item.ref.id in moved:
            steps.plan(item, remote_id=outcome.remote_id)
    return [(item, "published" if item.ref.id in moved else None) for item, _ in results]


def of_ours(item: Loaded, outcome: Published) -> Published:
    """Return the outcome, without id and address if it was found by its looks and is another post of ours."""
    if not outcome.matched:
        return outcome
    others = select(Target.id).where(
        Target.channel_id == item.channel_id, Target.remote_id == outcome.remote_id, Target.id != item.ref.id
    )
    if db.session.scalar(others.limit(1)) is None:
        return outcome
    return Published(None, None, complete=False)


def _of_published(outcome: Published, now: datetime) -> dict[str, Any]:
    next_at = now + (WATCH_DELAYS[0] if outcome.complete else poll_delay(0))
    return {"remote_id": outcome.remote_id, "permalink": outcome.permalink, "next_at": next_at}


def _move(item: Loaded, after: State, **values: Any) -> State | None:
    before = IN_FLIGHT - {after}
    moved = Target.move(item.ref, before=before, after=after, **FREE, **values)
    return after if moved else None


def _published(item: Loaded, outcome: Published) -> State | None:
    ((_, state),) = _all_published([(item, outcome)])
    return state


def _accepted(item: Loaded, outcome: Accepted) -> State | None:
    return _wait_for_answer(item, outcome.check_at)


def _pending(item: Loaded, outcome: Pending) -> State | None:
    if _is_hopeless(item):
        return _unknown(item, Unknown("The platform has not said for 24 hours whether the post exists."))
    return _wait_for_answer(item, outcome.until)


def _wait_for_answer(item: Loaded, until: datetime, **values: Any) -> State | None:
    columns = {"next_at": until, "asked": item.asked + 1, "retries": 0} | values
    if item.state == "confirming":
        Target.note(item.ref, **FREE, **columns)
        return "confirming"
    return _move(item, "confirming", **columns)


def _awaiting_user(item: Loaded, outcome: AwaitingUser) -> State | None:
    todo = target_error.awaiting_user(item.platform.name, outcome.message, outcome.deadline)
    again_at = clock.now() + ASK_AGAIN
    return _move(item, "awaiting_user", next_at=again_at, late_until=outcome.deadline, error=todo)


def _not_committed(item: Loaded, _outcome: NotCommitted) -> State | None:
    if _is_repeated_enough(item):
        return _unknown(
            item, Unknown(f"{item.platform.label} published nothing, though it was told to again.")
        )
    _release_content(item)
    return _back(item, "staged", preflighted_at=None, next_at=clock.now())


def _is_repeated_enough(item: Loaded) -> bool:
    most = item.platform.max_repeats
    return most is not None and ledger.not_committed(item.ref.id, more_than=most)


def _handle_dead(item: Loaded, _outcome: HandleDead) -> State | None:
    _release_content(item)
    return _back(item, "scheduled", **NO_HANDLE, next_at=clock.now())


def _back(item: Loaded, after: State, **values: Any) -> State | None:
    moved = _move(item, after, **{"retries": item.retries + 1} | values)
    if moved:
        Target.reckon_holds(Target.id == item.ref.id)
    return moved


def _rejected(item: Loaded, outcome: Rejected) -> State | None:
    return _refused(item, outcome.error, "scheduled", **NO_HANDLE)


def _refused(item: Loaded, error: PlatformAPIError, back_to: State, **values: Any) -> State | None:
    """The post certainly does not exist: try again what may pass, wait for a new quota if that was chosen."""
    _release_content(item)
    if error.kind == "quota" and item.if_over_quota == "defer":
        values |= deferred(item, quota_returns_at(error))
        return _back(item, back_to, **values, error=error.to_dict())
    if error.kind != "quota" and (
        error.retryable or error.kind == "reauth" or _waits_for_the_block(item, error)
    ):
        return _back(item, back_to, **values, next_at=try_again_at(item, error), error=error.to_dict())
    return _move(item, "failed", next_at=None, error=error.to_dict())


def _waits_for_the_block(item: Loaded, error: PlatformAPIError) -> bool:
    """Does the post wait with its channel? Not one whose own call may have been taken for spam: never again."""
    return is_block(error) and item.request.doubt is None


def _unknown(item: Loaded, outcome: Unknown) -> State | None:
    error = target_error.unknown(item.platform.name, outcome.reason)
    return _move(item, "unknown", next_at=None, error=error)


_AFTER: dict[type, Callable[[Loaded, Any], State | None]] = {
    Published: _published,
    Accepted: _accepted,
    Pending: _pending,
    AwaitingUser: _awaiting_user,
    NotCommitted: _not_committed,
    HandleDead: _handle_dead,
    Rejected: _rejected,
    Unknown: _unknown,
}


def _after_error(item: Loaded, error: PlatformAPIError) -> State | None:
    if item.kind == "locate":
        return _after_unanswered_question(item, error)
    if error.kind == "ambiguous":
        return _ask_later(item, error)
    return _refused(item, error, "staged", preflighted_at=None)


def _ask_later(item: Loaded, error: PlatformAPIError) -> State | None:
    """The commit's effect is not known: ask when a late effect of the call can no longer come."""
    settle_for = timedelta(seconds=settings().settle_seconds) + item.platform.lasting(
        item.platform.settle.total_seconds()
    )
    called_at = item.committed_at or clock.now()
    quiet_at = called_at + timedelta(seconds=item.commit_deadline) + settle_for
    return _wait_for_answer(item, max(quiet_at, clock.now() + settle_for), asked=0, error=error.to_dict())


def _after_unanswered_question(item: Loaded, error: PlatformAPIError) -> State | None:
    passes = error.retryable or error.kind in ("reauth", "ambiguous") or _is_fresh(item)
    if _is_hopeless(item) or not passes:
        return _unknown(item, Unknown(error.message))
    pause = try_again_at(item, error)
    return _wait_for_answer(item, pause, asked=item.asked, retries=item.retries + 1)


def _is_hopeless(item: Loaded) -> bool:
    """Was it asked about in vain for long, and often: a day that our machine was off is no answer?"""
    is_old = item.committed_at is not None and clock.now() > item.committed_at + CONFIRM_FOR
    return is_old and item.retries + item.asked >= ASKED_OFTEN


def _is_fresh(item: Loaded) -> bool:
    """Was the commit so lately that a question refused once need not be refused for good?"""
    return item.committed_at is not None and clock.now() < item.committed_at + item.platform.lasting(ODD_FOR)


def _release_content(item: Loaded) -> None:
    ChannelContent.release(channel_id=item.channel_id, content_hash=item.content_hash, target_id=item.ref.id)
