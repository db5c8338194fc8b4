"""Where one is logged in."""

from __future__ import annotations

import uuid
from typing import Any

from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.schemas.base import PageQuerySchema, page_schema
from app.schemas.sessions import SessionSchema
from app.services import sessions

blp = Blueprint("sessions", __name__, description="Sessions: where you are logged in.")


@blp.get("/sessions")
@blp.requires(role="viewer", scope=None)
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(SessionSchema))
def list_sessions(query: dict[str, Any]) -> Page[sessions.Session]:
    """List your live logins, newest first."""
    return sessions.list_sessions(principal(), **query)


@blp.delete("/sessions/<uuid:session_id>")
@blp.requires(role="viewer", scope=None)
@blp.response(204)
def delete_session(session_id: uuid.UUID) -> None:
    """End one of your logins. Its tokens stop working at once."""
    sessions.end(principal(), session_id)


@blp.delete("/sessions")
@blp.requires(role="viewer", scope=None)
@blp.response(204)
def delete_other_sessions() -> None:
    """End all of your logins but this one."""
    sessions.end_others(principal())
