"""Keys for programs."""

from __future__ import annotations

import uuid
from typing import Any

from app.models import ApiKey
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.schemas.api_keys import ApiKeySchema, MadeApiKeySchema, NewApiKeySchema
from app.schemas.base import PageQuerySchema, page_schema
from app.services import api_keys

blp = Blueprint("api_keys", __name__, description="Keys for programs: each opens one workspace.")


@blp.post("/api-keys")
@blp.requires(role="owner", scope=None)
@blp.arguments(NewApiKeySchema)
@blp.response(201, MadeApiKeySchema)
def create_api_key(body: dict[str, Any]) -> api_keys.MadeKey:
    """Make a key. It is shown this once."""
    return api_keys.create_api_key(principal(), **body)


@blp.get("/api-keys")
@blp.requires(role="owner", scope=None)
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(ApiKeySchema))
def list_api_keys(query: dict[str, Any]) -> Page[ApiKey]:
    """List the workspace's keys, newest first."""
    return api_keys.list_api_keys(principal(), **query)


@blp.delete("/api-keys/<uuid:key_id>")
@blp.requires(role="owner", scope=None)
@blp.response(204)
def delete_api_key(key_id: uuid.UUID) -> None:
    """Revoke a key. It stops working at once."""
    api_keys.revoke_api_key(principal(), key_id)
