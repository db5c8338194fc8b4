"""A claimed step with all that doing it needs, and what may stand in its way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from app import clock
from app.domain.target_error import target_error
from app.exceptions import ErrorKind
from app.extensions import db
from app.models import Step, Target, TargetRef, Workspace
from app.models.base import JsonObject
from app.models.step import OPEN
from app.platforms.base import PlannedStep, Platform, PublishRequest, StepKind
from app.services import publishing, quotas
from app.services.platforms import registry

LOOK_AGAIN = timedelta(minutes=5)  # at what only a person can change: a pause, a dead grant
WAIT_AT_MOST = timedelta(days=7)  # for that person; a comment a week late is of no use
ID_LOOK = timedelta(minutes=30)  # for the post's id; the watch that finds it wakes the step


@dataclass(frozen=True)
class LoadedStep:
    """A claimed step: detached, decrypted, frozen. `request.remote_id` is the post's id."""

    id: uuid.UUID
    fence: int
    state: str
    step: PlannedStep
    kind: StepKind
    platform: Platform
    target: TargetRef
    request: PublishRequest
    channel_id: uuid.UUID
    credential_id: uuid.UUID
    token_refreshed_at: datetime | None
    retries: int
    intent_at: datetime | None
    created_at: datetime
    lease_until: datetime
    lease_monotonic: float

    @property
    def is_doubtful(self) -> bool:
        """Is an intent open, of what must not be done twice?"""
        return self.state == "doing" and not self.kind.repeatable

    def under(self, lease_until: datetime) -> LoadedStep:
        """Return the step with a lease that ends then."""
        left = (lease_until - clock.now()).total_seconds()
        return replace(self, lease_until=lease_until, lease_monotonic=clock.monotonic() + left)

    def holds_lease(self) -> bool:
        """Is the lease still ours, on the wall clock and on the clock that never steps?"""
        return clock.monotonic() < self.lease_monotonic and clock.now() < self.lease_until


@dataclass(frozen=True)
class Obstacle:
    """Why a step cannot be done now. `again_at` None: nor ever, and it ends in `state`."""

    state: str
    error: JsonObject | None
    again_at: datetime | None = None


def read(step_id: uuid.UUID, fence: int) -> Row[*tuple[Any, ...]] | None:
    """Return the open step and what belongs to it, if the claim still holds; no transaction stays open."""
    query = (
        publishing.whole()
        .join(Step, Step.target_id == Target.id)
        .join(Workspace, Workspace.id == Target.workspace_id)
        .add_columns(Step, Workspace)
    )
    row = db.session.execute(
        query.where(Step.id == step_id, Step.fence == fence, Step.state.in_(OPEN))
    ).one_or_none()
    db.session.expunge_all()
    db.session.rollback()
    return row


def loaded(row: Row[*tuple[Any, ...]]) -> LoadedStep:
    """Return the step of a row from `read`. Raises KeyError when its platform knows no such step."""
    step: Step = row.Step
    platform = registry().get(row.Target.platform)
    request = publishing.request_of(row, platform)
    now = clock.now()
    return LoadedStep(
        id=step.id,
        fence=step.fence,
        state=step.state,
        step=PlannedStep(step.kind, step.payload),
        kind={kind.name: kind for kind in platform.step_kinds}[step.kind],
        platform=platform,
        target=row.Target.ref,
        request=replace(request, reserve=quotas.reserving(platform, row.Channel.id)),
        channel_id=row.Channel.id,
        credential_id=row.Credential.id,
        token_refreshed_at=row.Credential.refreshed_at,
        retries=step.retries,
        intent_at=step.intent_at,
        created_at=step.created_at,
        lease_until=now,
        lease_monotonic=clock.monotonic(),
    ).under(step.lease_until or now)


def obstacle(row: Row[*tuple[Any, ...]]) -> Obstacle | None:
    """Return what stands in the way of a step, strongest first."""
    if row.Target.state != "published":
        return Obstacle("cancelled", None)
    if row.Channel.status == "disconnected":
        return _end(row, "CHANNEL_DISCONNECTED", "The channel was disconnected before this was done.")
    if row.Workspace.paused_at is not None or row.Channel.paused_at is not None:
        return _wait(row, "PAUSED", "This waits until the channel is resumed.", kind="account")
    if row.Channel.status != "active":
        return _wait(row, "RECONNECT", "This waits until the channel is reconnected.", kind="reauth")
    return _without_id(row) if row.Target.remote_id is None else None


def _without_id(row: Row[*tuple[Any, ...]]) -> Obstacle:
    target, now = row.Target, clock.now()
    watched_until = (target.published_at or now) + registry().get(target.platform).watch_for + ID_LOOK
    if target.next_at is None or now > watched_until:
        message = "The platform has not told the post's id, without which this cannot be done. Do it by hand."
        return _end(row, "POST_ID_UNKNOWN", message)
    return Obstacle(row.Step.state, row.Step.error, now + ID_LOOK)


def _wait(row: Row[*tuple[Any, ...]], code: str, message: str, *, kind: ErrorKind) -> Obstacle:
    if clock.now() > row.Step.created_at + WAIT_AT_MOST:
        return _end(row, code, message)
    error = target_error(code, message, platform=row.Target.platform, kind=kind)
    return Obstacle(row.Step.state, error, clock.now() + LOOK_AGAIN)


def _end(row: Row[*tuple[Any, ...]], code: str, message: str) -> Obstacle:
    """A step whose intent is open is not called failed: it may have been done."""
    error = target_error(code, message, platform=row.Target.platform, kind="account")
    return Obstacle("unknown" if row.Step.state == "doing" else "failed", error)
