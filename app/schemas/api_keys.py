"""Bodies of API keys."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.domain.principal import SCOPES
from app.schemas.base import Instant, Schema


class NewApiKeySchema(Schema):
    name = fields.String(
        required=True, validate=validate.Length(1, 100), metadata={"description": "What it is for."}
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        required=True,
        validate=validate.Length(1, len(SCOPES)),
        metadata={"description": "read: look; write: upload and plan; publish: let things go out."},
    )
    expires_at = Instant(load_default=None, allow_none=True)


class ApiKeySchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "How the key begins, to recognise it."})
    scopes = fields.List(fields.String(validate=validate.OneOf(SCOPES)), required=True)
    created_at = Instant(required=True)
    expires_at = Instant(allow_none=True, required=True)
    last_used_at = Instant(allow_none=True, required=True)


class MadeApiKeySchema(ApiKeySchema):
    """`key` is shown this once."""

    key = fields.String(required=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return super().get_attribute(obj if attr == "key" else obj.record, attr, default)
