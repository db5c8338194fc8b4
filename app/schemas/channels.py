"""Bodies and queries of channels."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.base import Instant, PageQuerySchema, Schema

STATUSES = ("active", "needs_reconnect", "disconnected")


class ChannelsQuerySchema(PageQuerySchema):
    status = fields.String(
        load_default=None,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "Without it: all but disconnected ones."},
    )
    platform = fields.String(
        load_default=None,
        validate=validate.Length(1, 50),
        metadata={"description": "Only channels of this platform; see GET /platforms."},
    )


class ChannelNameSchema(Schema):
    """A channel as it is shown beside a target."""

    id = fields.UUID(required=True)
    platform = fields.String(required=True)
    username = fields.String(required=True)
    display_name = fields.String(required=True)
    avatar_url = fields.String(allow_none=True, required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))


class PostingOptionsSchema(Schema):
    """What a channel may post, as the platform said."""

    choices = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "By option: what it may be at present; options not named may be anything."},
    )
    disabled = fields.List(
        fields.String(), required=True, metadata={"description": "Options that may not be true at present."}
    )
    max_duration_seconds = fields.Float(allow_none=True, required=True)
    posts_left = fields.Integer(
        allow_none=True, required=True, metadata={"description": "Posts it takes until `resets_at`, if told."}
    )
    resets_at = Instant(allow_none=True, required=True)
    checked_at = Instant(required=True)


class ChannelSchema(ChannelNameSchema):
    server = fields.String(required=True)
    remote_id = fields.String(required=True)
    profile_url = fields.String(allow_none=True, required=True)
    paused_at = Instant(allow_none=True, required=True)
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
