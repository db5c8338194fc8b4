"""Bodies of members."""

from __future__ import annotations

from marshmallow import fields, validate

from app.domain.principal import ROLES
from app.schemas.base import Instant, Schema


class MemberSchema(Schema):
    user_id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    joined_at = Instant(required=True)


class MemberChangesSchema(Schema):
    role = fields.String(required=True, validate=validate.OneOf(ROLES))


class TransferSchema(Schema):
    user_id = fields.UUID(required=True, metadata={"description": "The member who is to own the workspace."})
