"""Bodies and queries of videos."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.domain.video_spec import VideoFacts
from app.domain.video_state import STATES
from app.schemas.base import Instant, PageQuerySchema, Schema
from app.schemas.errors import ErrorBodySchema
from app.schemas.fits import RenditionSchema
from app.schemas.records import record_schema

FactsSchema = record_schema(
    VideoFacts,
    "VideoFacts",
    "Bytes, seconds, bits and frames a second. `width` and `height` as shown, `coded_*` as stored. null: the file "
    "does not have it, or does not say.",
    stored=True,
)
MAX_TITLE = 500
MAX_DESCRIPTION = 10_000


class VideoTextsSchema(Schema):
    """What may be said about a video; the texts of a post fall back to it."""

    title = fields.String(validate=validate.Length(max=MAX_TITLE))
    description = fields.String(validate=validate.Length(max=MAX_DESCRIPTION))


class NewVideoQuerySchema(VideoTextsSchema):
    filename = fields.String(
        validate=validate.Length(1, 255),
        metadata={
            "description": "Name of a raw body; the header X-Filename (percent-encoded) says the same."
        },
    )


class VideoChangesSchema(VideoTextsSchema):
    @validates_schema
    def _refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Say what to change: title or description.")


class ThumbnailChoiceSchema(Schema):
    at_seconds = fields.Float(
        load_default=None,
        allow_none=True,
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={
            "description": "The frame shown at this time. Left out or null: a good one is chosen, "
            "neither black nor blurred."
        },
    )


class VideosQuerySchema(PageQuerySchema):
    state = fields.String(
        load_default=None,
        validate=validate.OneOf(STATES),
        metadata={"description": "Only videos in this state. Archived ones are shown only so."},
    )


class VideoSchema(Schema):
    """`file_url` and `thumbnail_url` are signed and expire; read the video again for new ones."""

    id = fields.UUID(required=True)
    title = fields.String(required=True)
    description = fields.String(required=True)
    filename = fields.String(required=True)
    content_type = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={
            "description": "processing: being measured; ready; rejected: see error; archived: its file is "
            "gone, what is known of it stays."
        },
    )
    facts = fields.Nested(
        FactsSchema, allow_none=True, required=True, metadata={"description": "What was measured."}
    )
    error = fields.Nested(
        ErrorBodySchema, allow_none=True, required=True, metadata={"description": "Why it was rejected."}
    )
    duplicate_of = fields.UUID(
        allow_none=True, required=True, metadata={"description": "An earlier video with the same bytes."}
    )
    renditions = fields.List(
        fields.Nested(RenditionSchema),
        required=True,
        metadata={"description": "What was or is being made of it for targets that need it so."},
    )
    file_url = fields.Url(allow_none=True, required=True)
    thumbnail_url = fields.Url(allow_none=True, required=True)
    thumbnail_at = fields.Float(
        allow_none=True,
        required=True,
        metadata={
            "description": "Seconds into the video of the frame it shows; null: a picture that was sent."
        },
    )
    thumbnail_pending = fields.Boolean(
        required=True,
        metadata={"description": "Is another frame being taken? The old one is shown until then."},
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
    ready_at = Instant(allow_none=True, required=True)
    archived_at = Instant(allow_none=True, required=True)
    version = fields.Integer(required=True, metadata={"description": "Raised by edits; the ETag."})
