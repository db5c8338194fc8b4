"""What happened to a post, as it is shown."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.base import Instant, Schema
from app.schemas.errors import AttemptErrorSchema
from app.schemas.events import EventDataSchema


class TimelineDetailsSchema(EventDataSchema):
    """Of an event its data; of an attempt how it ended, and what follows: `outcome` to `id`."""

    outcome = fields.String(
        allow_none=True, metadata={"description": "What the platform's answer means; null: there was none."}
    )
    error = fields.Nested(AttemptErrorSchema, allow_none=True)
    completed_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    id = fields.UUID(metadata={"description": "The attempt's."})


class TimelineEntrySchema(Schema):
    at = Instant(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(("event", "attempt")))
    type = fields.String(required=True)
    sentence = fields.String(required=True)
    target_id = fields.UUID(allow_none=True, required=True)
    channel = fields.String(allow_none=True, required=True)
    details = fields.Nested(TimelineDetailsSchema, required=True)


class TimelineSchema(Schema):
    data = fields.List(fields.Nested(TimelineEntrySchema), required=True)
