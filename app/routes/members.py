"""The people of a workspace."""

from __future__ import annotations

import uuid
from typing import Any

from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.schemas.base import PageQuerySchema, page_schema
from app.schemas.members import MemberChangesSchema, MemberSchema
from app.services import members

blp = Blueprint("members", __name__, description="Members: who belongs to the workspace, and as what.")


@blp.get("/members")
@blp.requires(role="viewer", scope="read")
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(MemberSchema))
def list_members(query: dict[str, Any]) -> Page[members.Member]:
    """List the workspace's members, longest first."""
    return members.list_members(principal(), **query)


@blp.patch("/members/<uuid:user_id>")
@blp.requires(role="owner", scope=None)
@blp.arguments(MemberChangesSchema)
@blp.response(200, MemberSchema)
def update_member(body: dict[str, Any], user_id: uuid.UUID) -> members.Member:
    """Give a member another role. There is always an owner."""
    return members.set_role(principal(), user_id, **body)


@blp.delete("/members/<uuid:user_id>")
@blp.requires(role="viewer", scope=None)
@blp.response(204)
def delete_member(user_id: uuid.UUID) -> None:
    """Take a member out, or, with your own id, leave. The keys they made here end with it."""
    members.remove(principal(), user_id)
