"""Bodies of connections."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.platforms import registry
from app.schemas.base import Instant, Schema
from app.schemas.channels import ChannelSchema
from app.schemas.errors import ErrorBodySchema

STATUSES = ("pending", "exchanging", "authorized", "completed", "failed")


class NewConnectionSchema(Schema):
    platform = fields.String(
        required=True, validate=validate.Length(1, 50), metadata={"enum": list(registry.names())}
    )
    login = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 50),
        metadata={
            "description": "For platforms with several ways to connect (`logins` of GET /platforms); else the "
            "first that is set up."
        },
    )
    server = fields.String(
        load_default="",
        validate=validate.Length(max=500),
        metadata={"description": "For platforms with many servers."},
    )
    credentials = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        load_default=None,
        load_only=True,
        metadata={"description": "For platforms without a consent page."},
    )


class ChoiceSchema(Schema):
    """An account the consent opened."""

    id = fields.String(required=True)
    username = fields.String(required=True)
    display_name = fields.String(required=True)
    avatar_url = fields.String(allow_none=True, required=True)
    profile_url = fields.String(allow_none=True, required=True)


class ConnectionSchema(Schema):
    id = fields.UUID(required=True)
    platform = fields.String(required=True)
    login = fields.String(required=True, metadata={"description": "Empty where there is one way to connect."})
    server = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    choices = fields.List(
        fields.Nested(ChoiceSchema),
        required=True,
        metadata={"description": "Once authorized: the accounts to choose from, for `choice_ids`."},
    )
    error = fields.Nested(ErrorBodySchema, allow_none=True, required=True)
    expires_at = Instant(required=True)
    created_at = Instant(required=True)
    completed_at = Instant(allow_none=True, required=True)


class BegunConnectionSchema(ConnectionSchema):
    authorize_url = fields.String(
        required=True,
        metadata={"description": "Send the browser that made this request here: it holds the cookie."},
    )
    fields_ = fields.List(
        fields.Dict(),
        attribute="fields",
        data_key="fields",
        metadata={"description": "What `credentials` must hold, for platforms without a consent page."},
    )


class KeptConnectionSchema(BegunConnectionSchema):
    """What begins a consent, with what its browser's cookie holds; stored sealed, never shown."""

    nonce = fields.String(required=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if attr == "fields":
            return []
        own = attr in {"authorize_url", "nonce"}
        return super().get_attribute(obj if own else obj.connection, attr, default)


class CompletionSchema(Schema):
    choice_ids = fields.List(
        fields.String(validate=validate.Length(1, 200)),
        load_default=None,
        validate=validate.Length(1, 100),
        metadata={"description": "May be left out when there is only one choice."},
    )


class CompletedSchema(Schema):
    """The channels that were made or renewed."""

    id = fields.UUID(required=True)
    status = fields.String(required=True)
    channels = fields.List(fields.Nested(ChannelSchema), required=True)
