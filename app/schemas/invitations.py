"""Bodies of invitations."""

from __future__ import annotations

from marshmallow import fields, validate

from app.domain.principal import ROLES
from app.schemas.auth import email_field
from app.schemas.base import Instant, Schema


class NewInvitationSchema(Schema):
    email = email_field()
    role = fields.String(load_default="editor", validate=validate.OneOf(ROLES))


class InvitationSchema(Schema):
    """An invitation nobody has accepted yet."""

    id = fields.UUID(required=True)
    email = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    expires_at = Instant(required=True)


class MadeInvitationSchema(InvitationSchema):
    """The token is shown once: it goes into `POST /auth/register`, or `POST /invitations/accept`."""

    token = fields.String(required=True)


class AcceptanceSchema(Schema):
    token = fields.String(required=True, load_only=True, validate=validate.Length(1, 200))
