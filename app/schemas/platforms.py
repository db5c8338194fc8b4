"""What an installation can publish to."""

from __future__ import annotations

from marshmallow import fields

from app.domain.video_spec import VideoSpec
from app.platforms.base import Cover, Option, Quota, StepKind, TextLimit
from app.schemas.base import Schema
from app.schemas.records import record_schema

OptionSchema = record_schema(
    Option, "DeclaredOption", "`choices` null: any of its kind. A `required` one has no default."
)
StepKindSchema = record_schema(
    StepKind,
    "StepKind",
    "`repeatable`: doing it twice changes nothing, so it is tried again after any fault.",
)
VideoLimitsSchema = record_schema(
    VideoSpec,
    "VideoLimits",
    "null or an empty list: no limit. Bytes, seconds, pixels as shown, rates a second. `preferred_*` is no limit: a "
    "file that is made anew keeps to it.",
)
CoverSchema = record_schema(
    Cover, "Cover", "It takes a picture of at most so many bytes, or a frame of the video named by its time."
)
TextLimitSchema = record_schema(
    TextLimit, "TextLimit", "At most so many of the platform's own units.", without={"count"}
)
QuotaSchema = record_schema(
    Quota,
    "Quota",
    "So many units in a window of so many seconds, for this installation's app or for each channel. `timezone`: the "
    "window is a day there; null: it begins with its first use. `posts`: one unit is one post.",
)


class PlatformLoginSchema(Schema):
    name = fields.String(required=True)
    label = fields.String(required=True)
    configured = fields.Boolean(required=True)


class LimitsSchema(Schema):
    """What a platform takes, each with where it says so."""

    video = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(VideoLimitsSchema),
        required=True,
        metadata={"description": "By what a video can be posted as."},
    )
    cover = fields.Nested(
        CoverSchema, required=True, allow_none=True, metadata={"description": "null: it takes none."}
    )
    texts = fields.List(fields.Nested(TextLimitSchema), required=True)
    quotas = fields.List(fields.Nested(QuotaSchema), required=True)


class PlatformSchema(Schema):
    name = fields.String(required=True, metadata={"description": "Used as `platform` everywhere."})
    label = fields.String(required=True)
    configured = fields.Boolean(
        required=True, metadata={"description": "Has this installation what is needed to connect accounts?"}
    )
    sandbox = fields.Boolean(required=True, metadata={"description": "Is this a stand-in on this machine?"})
    guarantee = fields.String(required=True)
    guarantee_text = fields.String(required=True)
    stage_ahead = fields.Float(
        required=True, metadata={"description": "Seconds before its time at which a video is uploaded."}
    )
    scopes = fields.List(fields.String(), required=True)
    callback_url = fields.String(
        required=True, metadata={"description": "Where people come back to from the platform's consent page."}
    )
    callbacks = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "Addresses to paste at the platform, by what it sends there."},
    )
    logins = fields.List(
        fields.Nested(PlatformLoginSchema),
        required=True,
        metadata={
            "description": "Ways to connect, for `login` of POST /connections; empty where there is one."
        },
    )
    steps = fields.List(
        fields.Nested(StepKindSchema),
        required=True,
        metadata={"description": "What may be done once a post exists."},
    )
    can_remove = fields.Boolean(required=True)
    max_stats = fields.Integer(
        required=True, metadata={"description": "Posts whose figures one call tells; 0: it tells none."}
    )
    options = fields.List(
        fields.Nested(OptionSchema), required=True, metadata={"description": "For `options.<platform>`."}
    )
    limits = fields.Nested(LimitsSchema, required=True)


class PlatformsSchema(Schema):
    data = fields.List(fields.Nested(PlatformSchema), required=True)
