"""How a video is to fit, whether it does, and what is made of it where it does not."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import ValidationError, fields, validate, validates_schema

from app.domain.recipe import Fit, Work
from app.schemas.base import Instant, Schema
from app.schemas.channels import ChannelNameSchema
from app.schemas.errors import ErrorBodySchema

LONGEST = 86_400.0  # seconds; no video is longer
STATES = ("ok", "fixable", "impossible")
WORKS = get_args(Work)[1:]
SECONDS = validate.Range(0, LONGEST)
SHAPE = "What becomes of a picture whose shape must change: edges cut off, blurred bars, or plain bars."


class FitSchema(Schema):
    """What goes out of a video, and what becomes of its shape where it must change."""

    shape = fields.String(validate=validate.OneOf(get_args(Fit)), metadata={"description": SHAPE})
    start = fields.Float(
        validate=SECONDS, metadata={"description": "Seconds from the beginning.", "example": 0.0}
    )
    end = fields.Float(
        validate=SECONDS, metadata={"description": "Seconds from the beginning.", "example": 5.0}
    )

    @validates_schema
    def _refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Say shape, start or end; null takes all of it back.")
        if "end" in data and data["end"] <= data.get("start", 0.0):
            raise ValidationError("end must come after start.", "end")


class FitQuerySchema(FitSchema):
    channel_id = fields.UUID(metadata={"description": "Only this channel."})
    platform = fields.String(
        validate=validate.Length(1, 50),
        metadata={"description": "Only this platform, connected or not, with its usual options."},
    )

    @validates_schema
    def _refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:
        if "end" in data and data["end"] <= data.get("start", 0.0):
            raise ValidationError("end must come after start.", "end")
        if "channel_id" in data and "platform" in data:
            raise ValidationError("Send only one of channel_id and platform.", "platform")


class BrokenLimitSchema(Schema):
    rule = fields.String(required=True, metadata={"example": "duration"})
    measured = fields.Raw(required=True, allow_none=True)
    allowed = fields.Raw(required=True, allow_none=True)
    message = fields.String(required=True)


class VerdictSchema(Schema):
    """`problems`: the limits the video breaks as it is; where `impossible`, those that no conversion mends."""

    state = fields.String(required=True, validate=validate.OneOf(STATES))
    post_type = fields.String(required=True, metadata={"description": "What it would be posted as."})
    work = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(WORKS),
        metadata={"description": "What a conversion has to encode; remux: nothing, only the file changes."},
    )
    recipe_hash = fields.String(
        required=True, allow_none=True, metadata={"description": "Equal for those that share a rendition."}
    )
    changes = fields.List(fields.String(), required=True)
    estimated_seconds = fields.Float(required=True, allow_none=True)
    estimated_bytes = fields.Integer(required=True, allow_none=True)
    problems = fields.List(fields.Nested(BrokenLimitSchema), required=True)


class PlaceVerdictSchema(VerdictSchema):
    channel = fields.Nested(ChannelNameSchema, required=True, allow_none=True)
    platform = fields.String(required=True)


class FitReportSchema(Schema):
    data = fields.List(fields.Nested(PlaceVerdictSchema), required=True)


class RenditionSchema(Schema):
    """A converted file, made ahead of time for the targets that need it."""

    id = fields.UUID(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(("processing", "ready", "failed", "removed")),
        metadata={"description": "removed: no target needs it; made anew when one does."},
    )
    work = fields.String(required=True, validate=validate.OneOf(WORKS))
    changes = fields.List(fields.String(), required=True)
    progress = fields.Float(required=True, metadata={"description": "Percent.", "example": 42.0})
    remaining_seconds = fields.Float(required=True, allow_none=True)
    size_bytes = fields.Integer(required=True, allow_none=True)
    error = fields.Nested(ErrorBodySchema, required=True, allow_none=True)
    file_url = fields.Url(required=True, allow_none=True)
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
