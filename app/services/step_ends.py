"""How steps end: what an answer, an error or a silence means for the one that was done or asked about."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app import clock
from app.domain.retry import backoff
from app.domain.target_error import given_up, target_error
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.models import Attempt, Event, Step, Target
from app.models.base import JsonObject
from app.monitoring import track_post_step
from app.platforms.base import StepDone, StepLater, StepNotDone, StepUnknown
from app.services import credentials, leases
from app.services.claimed_steps import LoadedStep, Obstacle
from app.services.platforms import registry

MAX_RETRIES = 20  # with a pause of up to half an hour: about six hours
CEILING = timedelta(minutes=30).total_seconds()
DOUBT_FOR = timedelta(hours=24)  # how long a platform may leave us in doubt before a person is told
ASKED_OFTEN = 8  # tries that must have come to nothing besides: our machine may have been off for that time
LATER_FOR = timedelta(hours=48)  # how long a platform may put a step off
LISTED_AFTER = (
    60.0  # seconds; platforms list a new comment late, and "not there" must be true when it is said
)
FINAL = ("done", "failed", "unknown", "cancelled")

Outcome = StepDone | StepNotDone | StepLater | StepUnknown | PlatformAPIError


@dataclass(frozen=True)
class Answer:
    """What a call ended in, with its ledger row and the requests it made."""

    outcome: Outcome
    attempt_id: uuid.UUID
    called_at: datetime
    calls: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class End:
    """What to write: the step's state, and when to look again (None: never)."""

    state: str
    next_at: datetime | None = None
    error: JsonObject | None = None
    retries: int | None = None
    result: Mapping[str, Any] | None = None


def settle(item: LoadedStep, answer: Answer, *, asked: bool) -> None:
    """Write what came of doing a step, or of asking about it. Commits."""
    outcome = answer.outcome
    close(answer)
    end = _after_question(item, outcome) if asked else _after_call(item, outcome)
    _write(item, end)
    if isinstance(outcome, PlatformAPIError) and outcome.kind == "reauth":
        used, channel_id = item.token_refreshed_at, item.channel_id
        credentials.doubt(item.credential_id, outcome, used=used, channel_id=channel_id)


def close(answer: Answer) -> None:
    """Complete the call's ledger row, in the caller's transaction."""
    outcome = answer.outcome
    error = outcome.to_dict() if isinstance(outcome, PlatformAPIError) else None
    if isinstance(outcome, StepUnknown):
        error = {"message": outcome.reason}
    Attempt.complete(
        answer.attempt_id,
        outcome=type(outcome).__name__,
        called_at=answer.called_at,
        error=error,
        details={"calls": [*answer.calls]},
    )


def put_off(item: LoadedStep, error: PlatformAPIError) -> None:
    """Come back later, before anything was asked or done; not for ever. Commits.

    The platform was not told to do it yet: however long this lasts, it uses up few of the step's tries.
    """
    since, wait = (item.intent_at, DOUBT_FOR) if item.state == "doing" else (None, LATER_FOR)
    if clock.now() < (since or item.created_at) + wait or item.retries < ASKED_OFTEN:
        retries = max(item.retries, min(item.retries + 1, ASKED_OFTEN))
        _write(item, End(item.state, _again_at(item, error), error.to_dict(), retries))
    else:
        _write(item, End("unknown" if item.state == "doing" else "failed", error=error.to_dict()))


def end_in_vain(item: LoadedStep) -> bool:
    """End a step that was certainly not done, after too many tries; False while it may be tried. Commits then."""
    if item.retries < MAX_RETRIES:
        return False
    message = "The platform did not take this in many tries; it was certainly not done."
    error = target_error("STEP_TOO_LATE", message, platform=item.platform.name, kind="account")
    _write(item, End("failed", error=error))
    return True


def hinder(item: LoadedStep, obstacle: Obstacle) -> None:
    """Write what stands in the way. Commits."""
    _write(item, End(obstacle.state, obstacle.again_at, obstacle.error))


def give_up(step_id: uuid.UUID, fence: int) -> None:
    """End a step that killed three workers; what may have been done is unknown. Commits."""
    row = db.session.execute(
        select(Step.kind, Step.state, Target.id, Target.platform, Target.post_id, Step.workspace_id)
        .join(Target, Target.id == Step.target_id)
        .where(Step.id == step_id, Step.fence == fence)
    ).one_or_none()
    if row is not None and row.state == "recurring":
        later = clock.now() + timedelta(days=1)
        leases.write(Step, step_id, fence, **leases.FREE, next_at=later)
    elif row is not None:
        repeatable = {kind.name: kind.repeatable for kind in registry().get(row.platform).step_kinds}
        state = "unknown" if row.state == "doing" and not repeatable.get(row.kind, False) else "failed"
        error = given_up(row.platform)
        if leases.write(Step, step_id, fence, **leases.FREE, state=state, next_at=None, error=error):
            _tell(state, row.kind, step_id, row)
    db.session.commit()


def _write(item: LoadedStep, end: End) -> None:
    now = clock.now()
    columns: dict[str, Any] = {"state": end.state, "next_at": end.next_at, "error": end.error}
    columns |= {"retries": end.retries} if end.retries is not None else {}
    columns |= {"result": dict(end.result), "done_at": now} if end.result is not None else {}
    ours = leases.write(Step, item.id, item.fence, **leases.FREE, **columns, updated_at=now)
    final = ours and end.state in FINAL
    if final:
        _tell(end.state, item.step.kind, item.id, item.target)
    db.session.commit()
    if final:
        track_post_step(platform=item.platform.name, kind=item.step.kind, status=end.state)


def _tell(state: str, kind: str, step_id: uuid.UUID, target: Any) -> None:
    Event.record(
        f"step.{state}",
        workspace_id=target.workspace_id,
        post_id=target.post_id,
        target_id=target.id,
        subject_id=step_id,
        data={"kind": kind},
    )


# -- what each outcome means


def _after_call(item: LoadedStep, outcome: Outcome) -> End:
    if isinstance(outcome, StepDone):
        return End("done", result=outcome.result)
    if isinstance(outcome, StepLater):
        return _later(item, outcome)
    assert isinstance(outcome, PlatformAPIError)
    if outcome.kind == "ambiguous" and not item.kind.repeatable:
        asked_at = max(clock.now() + quiet_for(item), _again_at(item, outcome))
        return End("doing", asked_at, outcome.to_dict(), item.retries + 1)
    passing = outcome.retryable or outcome.kind in ("reauth", "ambiguous")
    if passing and item.retries < MAX_RETRIES:
        return End("waiting", _again_at(item, outcome), outcome.to_dict(), item.retries + 1)
    return End("failed", error=outcome.to_dict())


def _later(item: LoadedStep, outcome: StepLater) -> End:
    if clock.now() < item.created_at + LATER_FOR:
        return End("waiting", outcome.until)
    message = f"The platform has not made this possible in two days. {outcome.reason}".strip()
    error = target_error("STEP_TOO_LATE", message, platform=item.platform.name, kind="account")
    return End("failed", error=error)


def _after_question(item: LoadedStep, outcome: Outcome) -> End:
    if isinstance(outcome, StepDone):
        return End("done", result=outcome.result)
    if isinstance(outcome, StepUnknown):
        return _unknown(item, outcome.reason)
    is_old = (item.intent_at or item.created_at) + DOUBT_FOR < clock.now()
    if is_old and item.retries >= ASKED_OFTEN:
        return _unknown(item, "The platform could not tell for a day whether this was done.")
    if isinstance(outcome, StepLater):
        return End("doing", outcome.until, retries=item.retries + 1 if is_old else None)
    assert isinstance(outcome, PlatformAPIError)
    if outcome.retryable or outcome.kind in ("reauth", "ambiguous"):
        return End("doing", _again_at(item, outcome), outcome.to_dict(), item.retries + 1)
    return _unknown(item, outcome.message)


def _unknown(item: LoadedStep, reason: str) -> End:
    message = f"{reason} It is not tried again, for it may be there: look at the post."
    error = target_error("OUTCOME_UNKNOWN", message, platform=item.platform.name, kind="ambiguous")
    return End("unknown", error=error)


def quiet_for(item: LoadedStep) -> timedelta:
    """Return how long after a call its effect may still come, or may not be listed yet."""
    ours = timedelta(seconds=settings().settle_seconds)
    return ours + item.platform.lasting(max(LISTED_AFTER, item.platform.settle.total_seconds()))


def _again_at(item: LoadedStep, error: PlatformAPIError) -> datetime:
    soon = clock.now() + backoff(item.retries + 1, first=10, ceiling=CEILING)
    return max(soon, error.retry_at) if error.retry_at else soon
