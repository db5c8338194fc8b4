"""Bodies and queries of targets."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import ValidationError, fields, validate, validates_schema

from app.domain.target_state import STATUS, TRANSITIONS, Status
from app.extensions import settings
from app.models import Target
from app.platforms.base import GUARANTEES
from app.schemas.base import Instant, PageQuerySchema, Schema
from app.schemas.channels import ChannelNameSchema
from app.schemas.errors import AttemptErrorSchema, TargetError
from app.schemas.fits import FitSchema, RenditionSchema
from app.schemas.options import target_options
from app.services import renditions
from app.services.platforms import registry

STATUSES = get_args(Status)
HOLDS = ("paused", "reconnect", "quota", "media", "approval")
MAX_TITLE = 500
MAX_CAPTION = 70_000  # beyond every platform's own limit, which is what counts
OVER_QUOTA = "When the platform takes no more in this window: fail, or defer it to the next."
TIME = "An instant with its offset, such as 2027-01-31T18:00:00+01:00."


class TargetTextsSchema(Schema):
    """What a target may say for itself; what it does not say, its post says."""

    title = fields.String(allow_none=True, validate=validate.Length(max=MAX_TITLE))
    caption = fields.String(allow_none=True, validate=validate.Length(max=MAX_CAPTION))
    scheduled_at = fields.String(
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": TIME, "format": "date-time"},
    )
    video_id = fields.UUID(allow_none=True)
    options = target_options(metadata={"description": "Over the post's options for this platform."})
    fit = fields.Nested(
        FitSchema,
        allow_none=True,
        metadata={"description": "In place of the post's; null: as the post says."},
    )


class NewTargetSchema(TargetTextsSchema):
    channel_id = fields.UUID(required=True)


class TargetChangesSchema(TargetTextsSchema):
    @validates_schema
    def _refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Say what to change.")


class TargetsQuerySchema(PageQuerySchema):
    status = fields.String(
        load_default=None,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "Only targets of this status; without it all."},
    )
    channel_id = fields.UUID(load_default=None, metadata={"description": "Only this channel's."})
    due_from = Instant(load_default=None, metadata={"description": "Inclusive; an instant with its offset."})
    due_to = Instant(load_default=None, metadata={"description": "Exclusive; an instant with its offset."})
    needs_action = fields.Boolean(
        load_default=None, metadata={"description": "Those that go no further without a person."}
    )
    sort = fields.String(
        load_default="due_at",
        validate=validate.OneOf(("due_at", "-due_at")),
        metadata={"description": "-due_at: latest first. Drafts without a time come last in either."},
    )


class RetrySchema(Schema):
    scheduled_at = fields.String(
        load_default=None,
        validate=validate.Length(1, 64),
        metadata={"description": f"{TIME} Without it: now.", "format": "date-time"},
    )
    now = fields.Boolean(load_default=False, validate=validate.Equal(True))

    @validates_schema
    def _refuse_both(self, data: dict[str, Any], **_: Any) -> None:
        if data["now"] and data["scheduled_at"]:
            raise ValidationError("Send only one of now and scheduled_at.", "now")


class ResolutionSchema(Schema):
    """What a person found when they looked."""

    outcome = fields.String(required=True, validate=validate.OneOf(("published", "not_published")))
    url = fields.URL(load_default=None, schemes={"http", "https"}, validate=validate.Length(max=2000))


class StepSchema(Schema):
    """Something that follows a post. Its failure never changes the target."""

    kind = fields.String(required=True, metadata={"description": "See GET /platforms."})
    state = fields.String(
        required=True,
        metadata={
            "type": "string",
            "enum": ["waiting", "doing", "done", "failed", "unknown", "cancelled"],
            "description": "unknown: it may be there, so it is not done again; somebody should look.",
        },
    )
    result = fields.Dict(allow_none=True, required=True)
    error = TargetError()


class WarningSchema(Schema):
    """Something that will stop a target unless somebody sees to it; codes may grow (docs/errors.md)."""

    code = fields.String(required=True, metadata={"example": "GRANT_ENDS_BEFORE_DUE"})
    message = fields.String(required=True)
    details = fields.Dict(required=True)


class _Rendition(fields.Nested):
    def get_value(self, obj: Any, *_args: Any, **_kwargs: Any) -> Any:
        if obj.rendition_id is None or obj.rendition is None:
            return None
        return renditions.shown(obj.rendition, obj.rendition.video)


class TargetSchema(Schema):
    id = fields.UUID(required=True)
    post_id = fields.UUID(required=True)
    channel = fields.Nested(ChannelNameSchema, required=True)
    platform = fields.String(required=True)
    status = fields.Function(
        lambda target: STATUS[target.state],
        required=True,
        metadata={"type": "string", "enum": list(STATUSES), "description": "A closed set."},
    )
    stage = fields.String(
        attribute="state",
        required=True,
        metadata={"description": f"How far it is, more finely; may grow. Now: {', '.join(TRANSITIONS)}."},
    )
    hold = fields.String(
        allow_none=True,
        required=True,
        validate=validate.OneOf(HOLDS),
        metadata={"description": "What stops it."},
    )
    hold_until = Instant(
        allow_none=True, required=True, metadata={"description": "null: until what holds it is gone."}
    )
    due_at = Instant(
        allow_none=True, required=True, metadata={"description": "When it is to go out; null: a draft."}
    )
    late_until = Instant(
        allow_none=True,
        required=True,
        metadata={"description": "After this it is missed rather than posted."},
    )
    next_at = Instant(
        allow_none=True, required=True, metadata={"description": "When the machine looks at it next."}
    )
    video_id = fields.UUID(required=True)
    title = fields.String(allow_none=True, required=True, metadata={"description": "null: the post's."})
    caption = fields.String(allow_none=True, required=True, metadata={"description": "null: the post's."})
    options = fields.Dict(
        required=True, metadata={"description": "Over the post's for this platform, as they were given."}
    )
    fit = fields.Nested(FitSchema, allow_none=True, required=True)
    rendition = _Rendition(
        RenditionSchema,
        allow_none=True,
        required=True,
        metadata={
            "description": "What goes out instead of the original, as in GET /videos/{id}; null: the original."
        },
    )
    if_over_quota = fields.String(
        required=True,
        validate=validate.OneOf(("fail", "defer")),
        metadata={"description": OVER_QUOTA},
    )
    guarantee = fields.Function(
        lambda target: registry().get(target.platform).guarantee,
        required=True,
        metadata={
            "type": "string",
            "enum": list(GUARANTEES),
            "description": "What the platform's protocol lets us promise; GET /platforms says it in words.",
        },
    )
    progress_bytes = fields.Integer(
        required=True, metadata={"description": "How many bytes the platform has."}
    )
    retries = fields.Integer(
        required=True, metadata={"description": "How often the present step was put off."}
    )
    published_at = Instant(
        allow_none=True, required=True, metadata={"description": "When the platform was known to have it."}
    )
    remote_id = fields.String(
        allow_none=True, required=True, metadata={"description": "The post's id at the platform."}
    )
    permalink = fields.String(
        allow_none=True,
        required=True,
        metadata={"description": "Where people see it; null: not known (yet)."},
    )
    error = TargetError(
        metadata={"description": "What went wrong, or why it waits; null: nothing that is known."}
    )
    steps = fields.List(
        fields.Nested(StepSchema),
        required=True,
        metadata={"description": "What follows the post once it is published: first comment, thumbnail ..."},
    )
    warnings = fields.List(
        fields.Nested(WarningSchema),
        allow_none=True,
        required=True,
        metadata={
            "description": "What may keep it from going out. null in lists, where it is not worked out."
        },
    )
    version = fields.Integer(
        required=True,
        metadata={
            "description": "The post's, raised by edits of the post or any of its targets; for If-Match."
        },
    )
    attempts_url = fields.Method("_attempts_url", required=True, metadata={"type": "string", "format": "uri"})
    created_at = Instant(required=True)
    updated_at = Instant(required=True)

    def _attempts_url(self, target: Target) -> str:
        return f"{settings().public_url.rstrip('/')}/api/v1/targets/{target.id}/attempts"


class AttemptSchema(Schema):
    """One dealing with the platform, written down before it began."""

    id = fields.UUID(required=True)
    operation = fields.String(required=True)
    started_at = Instant(required=True)
    called_at = Instant(allow_none=True, required=True)
    completed_at = Instant(allow_none=True, required=True)
    outcome = fields.String(
        allow_none=True, required=True, metadata={"description": "None: its end was never written down."}
    )
    error = fields.Nested(AttemptErrorSchema, allow_none=True, required=True)
    details = fields.Dict(
        required=True, metadata={"description": "`calls`: each with its status and both sides' request ids."}
    )
