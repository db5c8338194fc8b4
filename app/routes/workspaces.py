"""Workspaces. The path names the workspace; `X-Workspace-Id` is not needed here."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response

from app.models import Workspace
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once
from app.schemas.auth import BelongingSchema
from app.schemas.base import page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.members import MemberSchema, TransferSchema
from app.schemas.workspaces import NewWorkspaceSchema, UsageSchema, WorkspaceChangesSchema, WorkspaceSchema
from app.services import members, people, workspaces
from app.services.storage_quota import Usage

blp = Blueprint("workspaces", __name__, description="Workspaces: each owns its channels, videos and posts.")


@blp.get("/workspaces")
@blp.requires(role="viewer", scope="read")
@blp.response(200, page_schema(BelongingSchema))
def list_workspaces() -> Page[people.Belonging]:
    """List the workspaces you may use, your own first; a key has one. They come in one page."""
    return Page(people.workspaces_of(principal()))


@blp.post("/workspaces")
@blp.requires(role="viewer", scope=None)
@blp.arguments(NewWorkspaceSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, WorkspaceSchema)
def create_workspace(body: dict[str, Any], headers: dict[str, Any]) -> Workspace | Response:
    """Make a workspace. You own it."""
    return once(
        headers["idempotency_key"],
        lambda remember: workspaces.create(principal(), **body, remember=remember),
        schema=WorkspaceSchema,
        status=201,
    )


@blp.get("/workspaces/<uuid:workspace_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, WorkspaceSchema)
def get_workspace(workspace_id: uuid.UUID) -> Workspace:  # noqa: ARG001 - it is the principal's: see base
    """Get a workspace."""
    return workspaces.get(principal())


@blp.get("/workspaces/<uuid:workspace_id>/usage")
@blp.requires(role="viewer", scope="read")
@blp.response(200, UsageSchema)
def get_workspace_usage(workspace_id: uuid.UUID) -> Usage:  # noqa: ARG001 - it is the principal's: see base
    """Get how many bytes a workspace stores, of what, and how many it may."""
    return workspaces.usage(principal())


@blp.patch("/workspaces/<uuid:workspace_id>")
@blp.requires(role="owner", scope=None)
@blp.arguments(WorkspaceChangesSchema)
@blp.response(200, WorkspaceSchema)
def update_workspace(body: dict[str, Any], workspace_id: uuid.UUID) -> Workspace:  # noqa: ARG001
    """Change a workspace's name or patience."""
    return workspaces.update(principal(), body)


@blp.post("/workspaces/<uuid:workspace_id>/pause")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, WorkspaceSchema)
def pause_workspace(headers: dict[str, Any], workspace_id: uuid.UUID) -> Workspace | Response:  # noqa: ARG001
    """Hold everything of the workspace that waits, at once."""
    return once(
        headers["idempotency_key"],
        lambda remember: workspaces.pause(principal(), remember=remember),
        schema=WorkspaceSchema,
    )


@blp.post("/workspaces/<uuid:workspace_id>/resume")
@blp.requires(role="editor", scope="publish")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, WorkspaceSchema)
def resume_workspace(headers: dict[str, Any], workspace_id: uuid.UUID) -> Workspace | Response:  # noqa: ARG001
    """Let go of what the pause held."""
    return once(
        headers["idempotency_key"],
        lambda remember: workspaces.resume(principal(), remember=remember),
        schema=WorkspaceSchema,
    )


@blp.post("/workspaces/<uuid:workspace_id>/transfer")
@blp.requires(role="owner", scope=None)
@blp.arguments(TransferSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, MemberSchema)
def transfer_workspace(
    body: dict[str, Any],
    headers: dict[str, Any],
    workspace_id: uuid.UUID,  # noqa: ARG001
) -> members.Member | Response:
    """Make another member the owner. You become an editor."""
    return once(
        headers["idempotency_key"],
        lambda remember: members.transfer(principal(), body["user_id"], remember=remember),
        schema=MemberSchema,
    )
