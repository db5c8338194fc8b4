"""Headers that make a request safe to repeat, or conditional on what its sender knew."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.base import Schema


class IdempotencyHeaderSchema(Schema):
    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        metadata={
            "description": "Repeat with the same key: the first answer comes back, nothing happens twice."
        },
    )


class IfMatchHeaderSchema(Schema):
    if_match = fields.String(
        data_key="If-Match",
        load_default=None,
        validate=validate.Length(max=100),
        metadata={
            "description": "The ETag (or `version`) that was read: change it only if it is still that."
        },
    )
