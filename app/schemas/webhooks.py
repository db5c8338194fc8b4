"""Bodies of webhooks and their deliveries."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.schemas.base import Instant, PageQuerySchema, Schema

STATES = ("pending", "delivered", "failed")
PATTERN = r"^(\*|[a-z_]+\.(\*|[a-z_]+))$"


def _events(**options: Any) -> fields.Field[Any]:
    return fields.List(
        fields.String(
            validate=validate.Regexp(PATTERN, error="Must be like target.published, target.* or *.")
        ),
        validate=validate.Length(max=50),
        metadata={"description": "Which events to tell: `target.published`, `target.*`; none: all."},
        **options,
    )


class NewWebhookSchema(Schema):
    url = fields.String(
        required=True,
        validate=validate.Length(1, 2048),
        metadata={"description": "An http(s) address that is reachable from the internet."},
    )
    events = _events(load_default=list)
    description = fields.String(load_default="", validate=validate.Length(max=200))


class WebhookChangesSchema(Schema):
    url = fields.String(validate=validate.Length(1, 2048))
    events = _events()
    description = fields.String(validate=validate.Length(max=200))
    status = fields.String(validate=validate.OneOf(("active", "disabled")))


class WebhookSchema(Schema):
    """It is the workspace's: it stays when whoever made it leaves. `failing_since`: since when nothing got through."""

    id = fields.UUID(required=True)
    created_by = fields.UUID(
        allow_none=True,
        required=True,
        metadata={"description": "The id of the person who made it, also of one who is no member any more."},
    )
    url = fields.String(required=True)
    events = fields.List(fields.String(), required=True)
    description = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(("active", "disabled")))
    disabled_reason = fields.String(allow_none=True, required=True)
    failing_since = Instant(allow_none=True, required=True)
    old_secret_until = Instant(
        allow_none=True, required=True, metadata={"description": "Until then the old secret signs along."}
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)


class MadeWebhookSchema(WebhookSchema):
    """`secret` (whsec_...) is shown this once: receivers verify with it."""

    secret = fields.String(required=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return super().get_attribute(obj if attr == "secret" else obj.record, attr, default)


class DeliveriesQuerySchema(PageQuerySchema):
    state = fields.String(
        load_default=None,
        validate=validate.OneOf(STATES),
        metadata={"description": "Only deliveries in this state; without it all."},
    )


class DeliverySchema(Schema):
    """`status` is the HTTP status of the last try, `error` why there was none."""

    id = fields.UUID(required=True)
    webhook_id = fields.UUID(required=True)
    event_seq = fields.Integer(allow_none=True, required=True)
    type = fields.String(required=True)
    payload = fields.Dict(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    tries = fields.Integer(required=True)
    status = fields.Integer(allow_none=True, required=True)
    error = fields.String(allow_none=True, required=True)
    tried_at = Instant(allow_none=True, required=True)
    delivered_at = Instant(allow_none=True, required=True)
    next_at = Instant(allow_none=True, required=True)
    created_at = Instant(required=True)
