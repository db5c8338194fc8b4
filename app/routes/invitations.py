"""Inviting people to a workspace."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response

from app.models import Invitation
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once
from app.routes.limits import inviting
from app.schemas.auth import BelongingSchema
from app.schemas.base import PageQuerySchema, page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.invitations import (
    AcceptanceSchema,
    InvitationSchema,
    MadeInvitationSchema,
    NewInvitationSchema,
)
from app.services import people

blp = Blueprint("invitations", __name__, description="Invitations to a workspace.")


@blp.post("/invitations")
@blp.requires(role="owner", scope=None)
@blp.arguments(NewInvitationSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, MadeInvitationSchema)
@inviting
def create_invitation(body: dict[str, Any], headers: dict[str, Any]) -> people.NewInvitation | Response:
    """Invite somebody to the workspace. The answer holds a token to pass on; it is mailed where mail is set up.

    A person may invite 30 times an hour.
    """
    return once(
        headers["idempotency_key"],
        lambda remember: people.invite(principal(), **body, remember=remember),
        schema=MadeInvitationSchema,
        status=201,
        sealed=True,
    )


@blp.get("/invitations")
@blp.requires(role="owner", scope=None)
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(InvitationSchema))
def list_invitations(query: dict[str, Any]) -> Page[Invitation]:
    """List the invitations nobody has accepted yet, newest first."""
    return people.list_invitations(principal(), **query)


@blp.delete("/invitations/<uuid:invitation_id>")
@blp.requires(role="owner", scope=None)
@blp.response(204)
def delete_invitation(invitation_id: uuid.UUID) -> None:
    """Take an invitation back. Its token stops working at once."""
    people.withdraw_invitation(principal(), invitation_id)


@blp.post("/invitations/accept")
@blp.requires(role="viewer", scope=None)
@blp.arguments(AcceptanceSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, BelongingSchema)
def accept_invitation(body: dict[str, Any], headers: dict[str, Any]) -> people.Belonging | Response:
    """Join the workspace an invitation is for. Whoever has no account gives the token to `POST /auth/register`."""
    return once(
        headers["idempotency_key"],
        lambda remember: people.accept_invitation(principal(), **body, remember=remember),
        schema=BelongingSchema,
    )
