"""Targets: a post on one channel."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response

from app.models import Attempt, Target
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import ETAG, once_streamed, once_tagged, tagged, wanted_version
from app.schemas.base import PageQuerySchema, page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema, IfMatchHeaderSchema
from app.schemas.stats import FiguresSchema
from app.schemas.targets import (
    AttemptSchema,
    ResolutionSchema,
    RetrySchema,
    TargetChangesSchema,
    TargetSchema,
    TargetsQuerySchema,
)
from app.services import edits, removal, stats, targets, worklist
from app.services.stats import Figures

Tagged = tuple[Target, dict[str, str]]
blp = Blueprint("targets", __name__, description="Targets: a post on one channel, with its own state.")


@blp.get("/targets")
@blp.requires(role="viewer", scope="read")
@blp.arguments(TargetsQuerySchema, location="query")
@blp.response(200, page_schema(TargetSchema))
def list_targets(query: dict[str, Any]) -> Page[Target]:
    """List targets by the time they are due: what is planned, what went out, what needs somebody."""
    return worklist.list_targets(principal(), **query)


@blp.get("/targets/<uuid:target_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, TargetSchema, headers=ETAG)
def get_target(target_id: uuid.UUID) -> Tagged | Response:
    """Get a target."""
    return tagged(targets.show(principal(), target_id))


@blp.get("/targets/<uuid:target_id>/attempts")
@blp.requires(role="viewer", scope="read")
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(AttemptSchema))
def list_target_attempts(query: dict[str, Any], target_id: uuid.UUID) -> Page[Attempt]:
    """List every dealing with the platform for this target, oldest first."""
    return targets.list_attempts(principal(), target_id, **query)


@blp.patch("/targets/<uuid:target_id>")
@blp.requires(role="editor", scope="write")
@blp.arguments(TargetChangesSchema)
@blp.arguments(IfMatchHeaderSchema, location="headers")
@blp.response(200, TargetSchema, headers=ETAG)
def update_target(body: Any, headers: dict[str, Any], target_id: uuid.UUID) -> Tagged | Response:
    """Change a target that has not gone out, or what a failed one says before it is tried again."""
    version = wanted_version(headers["if_match"])
    return tagged(edits.edit_target(principal(), target_id, body, version=version))


@blp.post("/targets/<uuid:target_id>/cancel")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, TargetSchema, headers=ETAG)
def cancel_target(headers: dict[str, Any], target_id: uuid.UUID) -> Tagged | Response:
    """Stop a target, as long as it has not gone out."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: targets.cancel(principal(), target_id, remember=remember),
        schema=TargetSchema,
    )


@blp.post("/targets/<uuid:target_id>/retry")
@blp.requires(role="editor", scope="publish")
@blp.arguments(RetrySchema, required=False)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, TargetSchema, headers=ETAG)
def retry_target(body: dict[str, Any], headers: dict[str, Any], target_id: uuid.UUID) -> Tagged | Response:
    """Give a failed or missed target another try, now or at a time."""
    at = body.get("scheduled_at")
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: targets.retry(principal(), target_id, scheduled_at=at, remember=remember),
        schema=TargetSchema,
    )


@blp.get("/targets/<uuid:target_id>/stats")
@blp.requires(role="viewer", scope="read")
@blp.response(200, FiguresSchema)
def get_target_stats(target_id: uuid.UUID) -> Figures:
    """Get a post's figures, asked from the platform if the last ones are older than ten minutes."""
    return stats.get(principal(), target_id)


@blp.post("/targets/<uuid:target_id>/remove")
@blp.requires(role="editor", scope="publish")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, TargetSchema, headers=ETAG)
def remove_target(headers: dict[str, Any], target_id: uuid.UUID) -> Tagged | Response:
    """Delete the published post at its platform, where the platform allows that."""
    return tagged(
        once_streamed(
            headers["idempotency_key"],
            lambda remember: removal.remove(principal(), target_id, remember=remember),
            schema=TargetSchema,
        )
    )


@blp.post("/targets/<uuid:target_id>/resolve")
@blp.requires(role="editor", scope="publish")
@blp.arguments(ResolutionSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, TargetSchema, headers=ETAG)
def resolve_target(body: dict[str, Any], headers: dict[str, Any], target_id: uuid.UUID) -> Tagged | Response:
    """Say what became of a target whose end is not known, after looking at the account."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: targets.resolve(principal(), target_id, **body, remember=remember),
        schema=TargetSchema,
    )
