"""Bodies of sessions."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.base import Instant, Schema


class SessionSchema(Schema):
    """A login of yours."""

    id = fields.UUID(required=True)
    user_agent = fields.String(required=True)
    is_current = fields.Boolean(required=True, metadata={"description": "It is the one that asks."})
    created_at = Instant(required=True)
    last_used_at = Instant(required=True)
    expires_at = Instant(required=True)
