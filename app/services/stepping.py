"""Doing the steps after a post: one claimed step at a time, its intent written down before its call.

A step that is not repeatable and whose intent is open is asked about before anything else: its call may have
had its effect. What nobody can tell stays `unknown`; it is never done a second time blind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Exists, exists, select

from app import clock, crash_points
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.logging_config import get_logger, log_context
from app.models import Attempt, Channel, Step, Target, Workspace
from app.models.base import new_id
from app.models.step import FIGURES, OPEN
from app.monitoring import capture_error
from app.platforms.base import LeaseLost, StepNotDone
from app.services import claimed_steps, credentials, instance, leases, stats, step_ends
from app.services.claimed_steps import LoadedStep
from app.services.platforms import noting_calls
from app.services.step_ends import Answer, Outcome

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(minutes=5)


def run(step_id: uuid.UUID, fence: int) -> None:
    """Do one claimed step, or ask what became of it. Losing the lease is a normal end."""
    if reason := instance.check():
        logger.critical("no step is done: %s", reason)
        return
    kind = db.session.scalar(select(Step.kind).where(Step.id == step_id, Step.fence == fence))
    db.session.rollback()
    if kind == FIGURES:
        stats.collect(step_id, fence)
    elif kind is not None and leases.begin(Step, step_id, fence):
        _run(step_id, fence)


def _run(step_id: uuid.UUID, fence: int) -> None:
    item = _take(step_id, fence)
    if item is None:
        return
    with log_context(target_id=item.target.id, workspace_id=item.target.workspace_id):
        if item.is_doubtful:
            answer = _ask(item)
            if not isinstance(answer.outcome, StepNotDone):
                step_ends.settle(item, answer, asked=True)
                return
            step_ends.close(answer)
            if step_ends.end_in_vain(item):
                return
        _do(item)


def _take(step_id: uuid.UUID, fence: int) -> LoadedStep | None:
    """Return the step with a fresh token, or None when it is not ours or something stands in its way."""
    row = claimed_steps.read(step_id, fence)
    if row is None:
        return None
    item = claimed_steps.loaded(row)
    if obstacle := claimed_steps.obstacle(row):
        step_ends.hinder(item, obstacle)
        return None
    try:
        credentials.ensure_fresh(item.credential_id, until=clock.now() + TOKEN_MARGIN)
    except PlatformAPIError as error:
        step_ends.put_off(item, error)
        return None
    fresh = claimed_steps.read(step_id, fence)
    return claimed_steps.loaded(fresh) if fresh is not None else None


def _ask(item: LoadedStep) -> Answer:
    attempt_id = _open_attempt(item, f"step.{item.step.kind}.locate")
    db.session.commit()
    return _call(item, attempt_id, lambda: item.platform.locate_step(item.request, item.step))


def _do(item: LoadedStep) -> None:
    """Write the intent, then make the one call. The transaction that is open is its."""
    ready = _write_intent(item)
    if ready is None:
        return
    item, attempt_id = ready
    crash_points.hit("step.after_intent", item.platform.name)
    try:
        answer = _call(item, attempt_id, lambda: _perform(item))
    except LeaseLost:
        return
    step_ends.settle(item, answer, asked=False)


def _write_intent(item: LoadedStep) -> tuple[LoadedStep, uuid.UUID] | None:
    """Write down that the step is about to be done, if it still may be; return it under a new lease. Commits."""
    now = clock.now()
    lease_until = now + timedelta(seconds=settings().stage_lease_seconds)
    asked_at = lease_until + timedelta(seconds=settings().commit_deadline_seconds) + step_ends.quiet_for(item)
    columns = {"state": "doing", "intent_at": now, "lease_until": lease_until, "next_at": asked_at}
    if not leases.write(Step, item.id, item.fence, Step.state.in_(OPEN), _may_go(item), **columns):
        db.session.rollback()
        return None
    attempt_id = _open_attempt(item, f"step.{item.step.kind}")
    generation = None if item.kind.repeatable else instance.advance()
    db.session.commit()
    if generation is not None:
        instance.record(generation)  # a snapshot taken before this intent is an old one now
    return replace(item, state="doing", intent_at=now).under(lease_until), attempt_id


def _may_go(item: LoadedStep) -> Exists:
    """Is the post still there, and does nobody hold its channel?"""
    return exists(
        select(Target.id)
        .join(Channel, Channel.id == Target.channel_id)
        .join(Workspace, Workspace.id == Target.workspace_id)
        .where(Target.id == item.target.id, Target.state == "published")
        .where(Channel.status == "active", Channel.paused_at.is_(None), Workspace.paused_at.is_(None))
    )


def _perform(item: LoadedStep) -> Outcome:
    if not item.holds_lease():
        raise LeaseLost
    crash_points.hit("step.before_call", item.platform.name)
    outcome = item.platform.perform_step(item.request, item.step)
    crash_points.hit("step.after_call", item.platform.name)
    return outcome


def _open_attempt(item: LoadedStep, operation: str) -> uuid.UUID:
    """Write a ledger row before a call, in the caller's transaction; return its id."""
    row = Attempt(
        id=new_id(),
        workspace_id=item.target.workspace_id,
        target_id=item.target.id,
        step_id=item.id,
        operation=operation,
        fence=item.fence,
    )
    db.session.add(row)
    return row.id


def _call(item: LoadedStep, attempt_id: uuid.UUID, call: Callable[[], Outcome]) -> Answer:
    called_at = clock.now()
    with noting_calls() as noted:
        try:
            outcome = call()
        except PlatformAPIError as error:
            outcome = error
        except LeaseLost:
            raise
        except Exception as fault:  # of ours, or the job's time is over: its effect is not known
            logger.error("step %s of target %s failed", item.step.kind, item.target.id, exc_info=True)
            capture_error(fault)
            outcome = _as_doubt(item, fault)
    return Answer(outcome, attempt_id, called_at, noted)


def _as_doubt(item: LoadedStep, fault: Exception) -> PlatformAPIError:
    message = "Something went wrong on our side during this call."
    details = {"error": type(fault).__name__}
    return PlatformAPIError(message, details, platform=item.platform.name, kind="ambiguous")
