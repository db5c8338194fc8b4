"""What this installation can publish to."""

from __future__ import annotations

from typing import Any

from app.routes.base import Blueprint
from app.schemas.platforms import PlatformsSchema
from app.services.platforms import registry

blp = Blueprint("platforms", __name__, description="Platforms: what they take and what they promise.")


@blp.get("/platforms")
@blp.requires(role="viewer", scope="read")
@blp.response(200, PlatformsSchema)
def list_platforms() -> dict[str, Any]:
    """List the platforms with their limits, options and guarantees."""
    return {"data": [registry().describe(name) for name in registry().names()]}
