"""Workspaces: made, named, paused as a whole. The request's workspace is the principal's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app import clock
from app.domain.principal import Principal
from app.exceptions import ResourceNotFoundError
from app.extensions import db
from app.models import Event, Membership, Target, Workspace
from app.models.base import new_id
from app.queue import wake_dispatcher
from app.services import storage_quota
from app.services.idempotency import Remember, forget


def create(principal: Principal, *, name: str, remember: Remember = forget) -> Workspace:
    """Make a workspace whose only member and owner is the person who asks."""
    assert principal.user_id is not None  # people only
    workspace = Workspace(id=new_id(), name=name)
    db.session.add(workspace)
    db.session.flush()
    db.session.add(Membership(workspace_id=workspace.id, user_id=principal.user_id, role="owner"))
    remember(workspace)
    db.session.commit()
    return workspace


def get(principal: Principal, *, lock: bool = False) -> Workspace:
    """Return the request's workspace; `lock` holds it until the transaction ends."""
    query = select(Workspace).where(Workspace.id == principal.workspace_id)
    found = db.session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise ResourceNotFoundError(resource_type="Workspace", resource_id=principal.workspace_id)
    return found


def usage(principal: Principal) -> storage_quota.Usage:
    """Return what the request's workspace stores, and how much it may."""
    return storage_quota.usage(principal.workspace_id)


def update(principal: Principal, changes: Mapping[str, Any]) -> Workspace:
    """Change the name, or how long after its time a post is still worth publishing (posts made from now on)."""
    workspace = get(principal, lock=True)
    for column, value in changes.items():
        setattr(workspace, column, value)
    Event.record(
        "workspace.updated",
        workspace_id=workspace.id,
        subject_id=workspace.id,
        data={"changed": sorted(changes)},
    )
    db.session.commit()
    return workspace


def pause(principal: Principal, *, remember: Remember = forget) -> Workspace:
    """Hold everything of the workspace that waits, at once. What is already going out is not stopped."""
    return _set_pause(principal, clock.now(), event="workspace.paused", remember=remember)


def resume(principal: Principal, *, remember: Remember = forget) -> Workspace:
    """Let go of what the pause held. What is too late by now is missed, and said so."""
    return _set_pause(principal, None, event="workspace.resumed", remember=remember)


def _set_pause(
    principal: Principal, paused_at: datetime | None, *, event: str, remember: Remember
) -> Workspace:
    workspace = get(principal, lock=True)
    if (workspace.paused_at is None) != (paused_at is None):
        workspace.paused_at = paused_at
        db.session.flush()
        Target.reckon_holds(Target.workspace_id == workspace.id)
        Event.record(event, workspace_id=workspace.id, subject_id=workspace.id)
    remember(workspace)
    db.session.commit()
    wake_dispatcher()
    return workspace
