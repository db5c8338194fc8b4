"""What an answer, an error or a silence means for a target. One function an outcome, one table.

The rule behind all of it: once the intent is written, only `Published`, a refusal that certainly published
nothing, or asking the platform may end it. Whatever else happens is "ambiguous" and leads to asking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import delete

from app import clock
from app.domain.retry import backoff, poll_delay
from app.domain.target_state import BEFORE_INTENT, IN_FLIGHT, WAITING, State
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import ChannelContent, Target, TargetRef
from app.monitoring import track_video_post
from app.platforms.base import (
    Accepted,
    AwaitingUser,
    HandleDead,
    NotCommitted,
    Pending,
    Published,
    Rejected,
    Unknown,
)
from app.services import credentials
from app.services.leases import FREE
from app.services.publishing import Loaded, close_attempt

logger = get_logger(__name__)
CONFIRM_FOR = timedelta(hours=24)  # how long a platform may leave us in doubt before a person is asked
ASK_AGAIN = timedelta(minutes=5)
WATCH_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (10, 60, 360, 1440))
NO_HANDLE: dict[str, Any] = {
    "handle_encrypted": None,
    "handle_expires_at": None,
    "preflighted_at": None,
    "progress_bytes": 0,
}

Outcome = (
    Published
    | Accepted
    | AwaitingUser
    | Pending
    | NotCommitted
    | HandleDead
    | Rejected
    | Unknown
    | PlatformAPIError
    | None
)


def settle(results: Sequence[tuple[Loaded, Outcome]]) -> None:
    """Write what came of these calls, in one transaction, then tell the metrics and doubt refused tokens.

    None stands for a preflight that found nothing in the way. Commits.
    """
    final: list[tuple[Loaded, str]] = []
    for item, outcome in results:
        state = _settle_one(item, outcome)
        if state in ("published", "failed", "unknown"):
            final.append((item, state))
    db.session.commit()
    for item, ending in final:
        count_ending(item, ending)
    _doubt_tokens(results)


def count_ending(item: Loaded, state: str) -> None:
    """Tell the metrics how a target ended; after the commit."""
    track_video_post(platform=item.platform.name, status="success" if state == "published" else state)


def _doubt_tokens(results: Sequence[tuple[Loaded, Outcome]]) -> None:
    refused = {
        item.credential_id: outcome
        for item, outcome in results
        if isinstance(outcome, PlatformAPIError) and outcome.kind == "reauth"
    }
    for credential_id, error in refused.items():
        credentials.doubt(credential_id, error)


def _settle_one(item: Loaded, outcome: Outcome) -> State | None:
    """Apply one outcome; return the state the target was moved to, None when it was not ours any more."""
    close_attempt(item, type(outcome).__name__ if outcome is not None else "Clear", error=_facts(outcome))
    if item.kind == "preflight":
        return _after_preflight(item, outcome)
    if item.kind == "watch":
        return _after_watch(item, outcome)
    if isinstance(outcome, PlatformAPIError):
        if item.state == "staged":  # arming failed: no intent was written
            return refuse(item, outcome, before={"staged"})
        return _after_error(item, outcome)
    return _AFTER[type(outcome)](item, outcome)


def _facts(outcome: Outcome) -> dict[str, Any] | None:
    if isinstance(outcome, PlatformAPIError):
        return outcome.to_dict()
    if isinstance(outcome, Rejected):
        return outcome.error.to_dict()
    if isinstance(outcome, Unknown | HandleDead):
        return {"message": outcome.reason}
    return None


def _move(item: Loaded, after: State, **values: Any) -> State | None:
    before = IN_FLIGHT - {after}
    moved = Target.move(item.ref, before=before, after=after, **FREE, **values)
    return after if moved else None


# -- after the commit call, or after asking


def _published(item: Loaded, outcome: Published) -> State | None:
    now = clock.now()
    return _move(
        item,
        "published",
        published_at=now,
        remote_id=outcome.remote_id,
        permalink=outcome.permalink,
        error=None,
        retries=0,
        asked=0,
        next_at=now + (WATCH_DELAYS[0] if outcome.complete else poll_delay(0)),
    )


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
    return _move(
        item, "awaiting_user", next_at=clock.now() + ASK_AGAIN, late_until=outcome.deadline, error=None
    )


def _not_committed(item: Loaded, _outcome: NotCommitted) -> State | None:
    _release_content(item)
    return _back(item, "staged", preflighted_at=None, next_at=clock.now())


def _handle_dead(item: Loaded, _outcome: HandleDead) -> State | None:
    _release_content(item)
    return _back(item, "scheduled", **NO_HANDLE, next_at=clock.now())


def _back(item: Loaded, after: State, **values: Any) -> State | None:
    moved = _move(item, after, **{"retries": item.retries + 1} | values)
    if moved:
        Target.reckon_holds(Target.id == item.ref.id)
    return moved


def _rejected(item: Loaded, outcome: Rejected) -> State | None:
    _release_content(item)
    error = outcome.error
    if error.retryable:
        return _back(
            item, "scheduled", **NO_HANDLE, next_at=_try_again_at(item, error), error=error.to_dict()
        )
    return _move(item, "failed", next_at=None, error=error.to_dict())


def _unknown(item: Loaded, outcome: Unknown) -> State | None:
    error: dict[str, Any] = {
        "code": "OUTCOME_UNKNOWN",
        "message": f"{outcome.reason} Look at the account and say whether the post is there.",
        "details": {},
        "platform": item.platform.name,
        "platform_code": None,
        "kind": "ambiguous",
        "retryable": False,
        "retry_at": None,
        "action": "check_platform",
    }
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
        return _ask_later(item)
    _release_content(item)
    if error.retryable or error.kind == "reauth":
        return _back(
            item, "staged", preflighted_at=None, next_at=_try_again_at(item, error), error=error.to_dict()
        )
    return _move(item, "failed", next_at=None, error=error.to_dict())


def _ask_later(item: Loaded) -> State | None:
    """The commit's effect is not known: ask when a late effect of the call can no longer come."""
    settle_for = timedelta(seconds=settings().settle_seconds) + item.platform.settle
    called_at = item.committed_at or clock.now()
    quiet_at = called_at + timedelta(seconds=item.commit_deadline) + settle_for
    return _wait_for_answer(item, max(quiet_at, clock.now() + settle_for), asked=0)


def _after_unanswered_question(item: Loaded, error: PlatformAPIError) -> State | None:
    if _is_hopeless(item) or not (error.retryable or error.kind in ("reauth", "ambiguous")):
        return _unknown(item, Unknown(error.message))
    pause = _try_again_at(item, error)
    return _wait_for_answer(item, pause, asked=item.asked, retries=item.retries + 1)


def _is_hopeless(item: Loaded) -> bool:
    return item.committed_at is not None and clock.now() > item.committed_at + CONFIRM_FOR


def _try_again_at(item: Loaded, error: PlatformAPIError) -> datetime:
    soon = clock.now() + backoff(item.retries + 1)
    return max(soon, error.retry_at) if error.retry_at else soon


def _release_content(item: Loaded) -> None:
    """The post certainly does not exist: the channel may take this content again at once."""
    db.session.execute(
        delete(ChannelContent).where(
            ChannelContent.channel_id == item.channel_id,
            ChannelContent.content_hash == item.content_hash,
            ChannelContent.target_id == item.ref.id,
        )
    )


# -- before the commit


def _after_preflight(item: Loaded, outcome: Outcome) -> State | None:
    now = clock.now()
    if outcome is None:
        ahead = timedelta(seconds=settings().commit_ahead_seconds)
        next_at = max(now, item.due_at - ahead)
        Target.note(item.ref, **FREE, preflighted_at=now, next_at=next_at, error=None, retries=0)
        return None
    return refuse(item, cast(PlatformAPIError, outcome), before={"staged"})


def refuse(item: Loaded, error: PlatformAPIError, *, before: set[State]) -> State | None:
    """Before the intent: try again later what may pass, hold what needs reconnecting, fail the rest."""
    if error.retryable or error.kind in ("reauth", "ambiguous"):
        Target.note(
            item.ref,
            **FREE,
            next_at=_try_again_at(item, error),
            retries=item.retries + 1,
            error=error.to_dict(),
        )
        return None
    moved = Target.move(item.ref, before=before, after="failed", **FREE, next_at=None, error=error.to_dict())
    return "failed" if moved else None


# -- after it was published


def _after_watch(item: Loaded, outcome: Outcome) -> State | None:
    if isinstance(outcome, Rejected):
        moved = Target.move(
            item.ref,
            before={"published"},
            after="removed",
            **FREE,
            next_at=None,
            error=outcome.error.to_dict(),
        )
        return "removed" if moved else None
    if isinstance(outcome, Published) and item.state == "awaiting_user":
        return _finished_by_user(item, outcome)
    found = (
        {"remote_id": outcome.remote_id, "permalink": outcome.permalink}
        if isinstance(outcome, Published)
        else {}
    )
    known = {column: value for column, value in found.items() if value is not None}
    complete = isinstance(outcome, Published) and outcome.complete
    Target.note(item.ref, **FREE, **known, asked=item.asked + 1, next_at=_next_watch(item, complete=complete))
    return None


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
        next_at=now + WATCH_DELAYS[0],
    )
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


# -- what is given up

MISSED_ERROR: dict[str, Any] = {
    "code": "MISSED",
    "message": "This could not be published before the latest time you allow, so it was not published late. "
    "Give it a new time or publish it now.",
    "details": {},
    "platform_code": None,
    "kind": "transient",
    "retryable": False,
    "retry_at": None,
    "action": "edit",
}


def give_up(ref: TargetRef, state: State) -> None:
    """End a target that killed its workers again and again: before the intent it failed; after it, a person
    must look, for nobody knows whether the post exists. Commits."""
    deaths = "Our workers died over this target several times. An administrator finds the reason in the logs."
    error = MISSED_ERROR | {"code": "INTERNAL_ERROR", "message": deaths, "action": "check_platform"}
    if state in IN_FLIGHT:
        Target.move(ref, before=IN_FLIGHT, after="unknown", **FREE, next_at=None, error=error)
    elif state in BEFORE_INTENT:
        Target.move(ref, before=WAITING, after="failed", **FREE, next_at=None, error=error)
    else:
        Target.note(ref, **FREE, next_at=None)
    db.session.commit()
