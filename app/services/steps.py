"""What follows a post: written down with its publication, so that nothing forgets it.

A step never changes its target. `stepping` does the steps, `stats` collects the figures.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from app import clock
from app.extensions import db
from app.logging_config import get_logger
from app.models import Step, Target, TargetRef
from app.models.base import JsonObject
from app.models.step import FIGURES
from app.monitoring import capture_error
from app.platforms.base import Handle, PlannedStep, Platform, PublishRequest
from app.services import claimed_steps, publishing, stats
from app.services.platforms import registry
from app.services.publishing import Loaded

logger = get_logger(__name__)


def plan(item: Loaded, *, remote_id: str | None) -> None:
    """Write down what follows a post that is published by now, in the caller's transaction."""
    request = replace(item.request, remote_id=remote_id)
    _write(item.ref, item.platform, _planned(item.platform, request, item.handle or {}), remote_id)


def plan_resolved(target_id: uuid.UUID) -> None:
    """Do as `plan` for a post that a person found, in the caller's transaction."""
    row = db.session.execute(publishing.whole().where(Target.id == target_id)).one()
    platform = registry().get(row.Target.platform)
    try:
        request, handle = publishing.request_of(row, platform), publishing.open_handle(row.Target) or {}
    except Exception as fault:  # a lost key is no reason to refuse what the person says
        _report(fault, target_id)
        return
    _write(row.Target.ref, platform, _planned(platform, request, handle), row.Target.remote_id)


def _planned(platform: Platform, request: PublishRequest, handle: Handle) -> Iterable[PlannedStep]:
    """Return what the adapter plans; a fault in it must not lose that the post is published."""
    try:
        return list(platform.plan_steps(request, handle))
    except Exception as fault:
        _report(fault, request.target_id)
        return []


def _report(fault: Exception, target_id: object) -> None:
    logger.error("the steps after target %s could not be planned", target_id, exc_info=True)
    capture_error(fault)


def _write(ref: TargetRef, platform: Platform, planned: Iterable[PlannedStep], remote_id: str | None) -> None:
    now = clock.now()
    next_at = now if remote_id else now + claimed_steps.ID_LOOK
    rows = [_row(ref, step.kind, next_at, payload=dict(step.payload)) for step in planned]
    if platform.max_stats:
        first = stats.next_look(now, published_at=now)
        rows.append(_row(ref, FIGURES, first, state="recurring", payload={}))
    Step.plan(rows)


def _row(ref: TargetRef, kind: str, next_at: datetime | None, **columns: Any) -> JsonObject:
    defaults = {"state": "waiting", "target_id": ref.id, "workspace_id": ref.workspace_id}
    return {**defaults, "kind": kind, "next_at": next_at, **columns}
