"""Bodies and queries of posts."""

from __future__ import annotations

import json
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.domain.schedule import Schedule
from app.models import Post
from app.schemas.base import Instant, PageQuerySchema, Schema
from app.schemas.fits import FitSchema, VerdictSchema
from app.schemas.options import post_options
from app.schemas.targets import (
    MAX_CAPTION,
    MAX_TITLE,
    OVER_QUOTA,
    STATUSES,
    TIME,
    NewTargetSchema,
    TargetSchema,
)
from app.schemas.videos import VideoTextsSchema

MAX_TARGETS = 50
MAX_LABELS = 20
MAX_LABEL = 50
MAX_METADATA_BYTES = 8 * 1024
NOT_STORED = ("id", "created_at", "updated_at")


def _small(metadata: dict[str, Any]) -> None:
    found = len(json.dumps(metadata, ensure_ascii=False).encode())
    if found > MAX_METADATA_BYTES:
        raise ValidationError(f"Has {found} bytes as JSON, at most {MAX_METADATA_BYTES} fit.")


class PostTextsSchema(Schema):
    """What a post says, when, and what is kept beside it."""

    title = fields.String(
        allow_none=True,
        validate=validate.Length(max=MAX_TITLE),
        metadata={"description": "Else the video's."},
    )
    caption = fields.String(
        allow_none=True,
        validate=validate.Length(max=MAX_CAPTION),
        metadata={"description": "Else the video's description."},
    )
    video_id = fields.UUID(
        allow_none=True, metadata={"description": "A video of this workspace; it may still be measured."}
    )
    scheduled_at = fields.String(
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": TIME, "format": "date-time"},
    )
    scheduled_local = fields.String(
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": "A wall clock without offset, such as 2027-01-31T18:00, beside a timezone."},
    )
    timezone = fields.String(
        allow_none=True, validate=validate.Length(1, 64), metadata={"description": "Such as Europe/Berlin."}
    )
    publish_now = fields.Boolean(metadata={"description": "Instead of a time: as soon as it is ready."})
    draft = fields.Boolean(metadata={"description": "Keep it; it goes nowhere before it has a time."})
    late_until = fields.String(
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": "Until when it is worth publishing late. " + TIME, "format": "date-time"},
    )
    if_over_quota = fields.String(
        validate=validate.OneOf(("fail", "defer")), metadata={"description": OVER_QUOTA}
    )
    options = post_options(
        metadata={"description": "By platform: {<platform>: {...}}; GET /platforms has their defaults."}
    )
    fit = fields.Nested(
        FitSchema,
        allow_none=True,
        metadata={
            "description": "What goes out of the video, for all targets that do not say it themselves."
        },
    )
    labels = fields.List(
        fields.String(validate=validate.Length(1, MAX_LABEL)), validate=validate.Length(max=MAX_LABELS)
    )
    metadata = fields.Dict(
        keys=fields.String(), validate=_small, metadata={"description": "Yours; kept as it is."}
    )


class VideoSourceSchema(VideoTextsSchema):
    """A video we are to fetch; the post waits for it."""

    url = fields.String(
        required=True,
        validate=validate.Length(1, 2048),
        metadata={"description": "A public http(s) address of the file itself."},
    )
    filename = fields.String(validate=validate.Length(1, 255))


class NewPostSchema(PostTextsSchema):
    video = fields.Nested(
        VideoSourceSchema,
        allow_none=True,
        metadata={"description": "Instead of video_id: where the video is to be fetched from."},
    )
    targets = fields.List(
        fields.Nested(NewTargetSchema), required=True, validate=validate.Length(1, MAX_TARGETS)
    )


class PostChangesSchema(PostTextsSchema):
    add_targets = fields.List(
        fields.Nested(NewTargetSchema),
        validate=validate.Length(1, MAX_TARGETS),
        metadata={"description": "More channels, as in `targets` of a new post, and checked like those."},
    )
    remove_targets = fields.List(
        fields.UUID(),
        validate=validate.Length(1, MAX_TARGETS),
        metadata={"description": "Ids of targets to cancel. Cancelled is final: they stay as history."},
    )

    @validates_schema
    def _refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Say what to change.")


class RepostSchema(Schema):
    """When to post again: a time, now, or the first time that is allowed on each channel."""

    scheduled_at = fields.String(
        validate=validate.Length(1, 64), metadata={"description": TIME, "format": "date-time"}
    )
    scheduled_local = fields.String(validate=validate.Length(1, 64))
    timezone = fields.String(validate=validate.Length(1, 64))
    publish_now = fields.Boolean()
    at_next_allowed = fields.Boolean(
        metadata={
            "description": "As soon as 24 hours lie between this and the same content, on each channel."
        }
    )
    title = fields.String(allow_none=True, validate=validate.Length(max=MAX_TITLE))
    caption = fields.String(allow_none=True, validate=validate.Length(max=MAX_CAPTION))
    channel_ids = fields.List(
        fields.UUID(),
        validate=validate.Length(1, MAX_TARGETS),
        metadata={"description": "Some of the post's channels; without it all."},
    )
    late_until = fields.String(
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": "Until when it is worth publishing late. " + TIME, "format": "date-time"},
    )
    if_over_quota = fields.String(
        validate=validate.OneOf(("fail", "defer")), metadata={"description": OVER_QUOTA}
    )


class NewPostQuerySchema(Schema):
    dry_run = fields.Boolean(
        load_default=False,
        metadata={"description": "Check everything and say what would happen; store nothing."},
    )


class PostFilterSchema(Schema):
    """Which posts; what is not said leaves none out."""

    status = fields.String(
        load_default=None,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "Only posts of this status; without it all."},
    )
    label = fields.String(
        load_default=None,
        validate=validate.Length(1, MAX_LABEL),
        metadata={"description": "Only posts with this label, exactly as it is written."},
    )
    channel_id = fields.UUID(
        load_default=None, metadata={"description": "Only posts with a target on this channel."}
    )
    created_from = Instant(load_default=None, metadata={"description": "Only posts made then or later."})
    created_to = Instant(load_default=None, metadata={"description": "Only posts made before."})


class PostsQuerySchema(PostFilterSchema, PageQuerySchema):
    sort = fields.String(
        load_default="-created_at",
        validate=validate.OneOf(("-created_at", "created_at")),
        metadata={"description": "-created_at: newest first."},
    )


class PostSchema(Schema):
    id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    title = fields.String(required=True)
    caption = fields.String(required=True)
    video_id = fields.UUID(allow_none=True, required=True)
    scheduled_at = Instant(allow_none=True, required=True)
    timezone = fields.String(allow_none=True, required=True)
    scheduled_local = fields.String(allow_none=True, required=True)
    schedule_note = fields.Method(
        "_note",
        required=True,
        allow_none=True,
        metadata={
            "type": "string",
            "description": "What became of a local time that is skipped or comes twice.",
        },
    )
    late_until = Instant(
        allow_none=True,
        required=True,
        metadata={"description": "As it was asked for; null: see each target's."},
    )
    options = fields.Dict(
        values=fields.Dict(), required=True, metadata={"description": "By platform, as they were given."}
    )
    fit = fields.Nested(FitSchema, allow_none=True, required=True)
    labels = fields.List(fields.String(), required=True)
    metadata = fields.Dict(attribute="details", required=True)
    targets = fields.List(fields.Nested(TargetSchema), required=True)
    created_by = fields.UUID(
        allow_none=True, required=True, metadata={"description": "A person's id; null: not known any more."}
    )
    created_via = fields.String(required=True, metadata={"description": "api: by a login; or api_key."})
    version = fields.Integer(
        required=True, metadata={"description": "Raised by edits; send it as If-Match to edit what you saw."}
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)

    def _note(self, post: Post) -> str | None:
        if post.scheduled_at is None:
            return None
        return Schedule(post.scheduled_at, post.timezone, post.scheduled_local).note


class PreviewTargetSchema(TargetSchema):
    """A target that was not stored: what has no value before that is left out."""

    class Meta(Schema.Meta):
        exclude = (
            *NOT_STORED,
            "post_id",
            "retries",
            "progress_bytes",
            "rendition",
            "steps",
            "attempts_url",
            "version",
        )

    verdict = fields.Nested(
        VerdictSchema,
        allow_none=True,
        required=True,
        metadata={"description": "What becomes of the video; null while it is being measured."},
    )


class PreviewSchema(PostSchema):
    """A post that was not stored."""

    class Meta(Schema.Meta):
        exclude = (*NOT_STORED, "version")

    targets = fields.List(fields.Nested(PreviewTargetSchema), required=True)
    dry_run = fields.Constant(True)
