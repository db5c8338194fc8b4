"""What happened, in order."""

from __future__ import annotations

from typing import Any

from app.routes.base import Blueprint, principal
from app.schemas.events import EventsQuerySchema, EventsSchema
from app.services import events

blp = Blueprint("events", __name__, description="Events: everything that changed, to be read in order.")


@blp.get("/events")
@blp.requires(role="viewer", scope="read")
@blp.arguments(EventsQuerySchema, location="query")
@blp.response(200, EventsSchema)
def list_events(query: dict[str, Any]) -> dict[str, Any]:
    """Read events after a number, oldest first. `next_cursor` is always given: ask again with it later."""
    found, last = events.list_events(principal(), **query)
    return {
        "data": found,
        "pagination": {"next_cursor": str(last), "has_more": len(found) == query["limit"]},
    }
