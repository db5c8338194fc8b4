"""Bodies and queries of targets."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from marshmallow import ValidationError, fields, validate, validates_schema

from app import clock
from app.domain.target_state import STATUS, TRANSITIONS, Status
from app.extensions import settings
from app.models import Target
from app.schemas.base import Instant, PageQuerySchema, Schema
from app.schemas.channels import ChannelNameSchema
from app.schemas.fits import FitSchema, RenditionSchema
from app.services import renditions
from app.services.platforms import registry

STATUSES = get_args(Status)
HOLDS = ("paused", "reconnect", "quota", "media", "approval")
MAX_TITLE = 500
MAX_CAPTION = 70_000  # beyond every platform's own limit, which is what counts
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
    options = fields.Dict(
        keys=fields.String(), metadata={"description": "Over the post's options for this platform."}
    )
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
    status = fields.String(load_default=None, validate=validate.OneOf(STATUSES))
    channel_id = fields.UUID(load_default=None)
    due_from = Instant(load_default=None)
    due_to = Instant(load_default=None, metadata={"description": "Exclusive."})
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
    error = fields.Dict(allow_none=True, required=True)


class WarningSchema(Schema):
    """Something that will stop a target unless somebody sees to it; codes may grow (docs/errors.md)."""

    code = fields.String(required=True, metadata={"example": "GRANT_ENDS_BEFORE_DUE"})
    message = fields.String(required=True)
    details = fields.Dict(required=True)


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
    hold_until = Instant(allow_none=True, required=True)
    due_at = Instant(allow_none=True, required=True)
    late_until = Instant(
        allow_none=True,
        required=True,
        metadata={"description": "After this it is missed rather than posted."},
    )
    next_at = Instant(
        allow_none=True, required=True, metadata={"description": "When the machine looks at it next."}
    )
    video_id = fields.UUID(required=True)
    title = fields.String(allow_none=True, required=True)
    caption = fields.String(allow_none=True, required=True)
    options = fields.Dict(required=True)
    fit = fields.Nested(FitSchema, allow_none=True, required=True)
    rendition = fields.Method(
        "_rendition",
        allow_none=True,
        required=True,
        metadata={
            "type": ["object", "null"],
            "description": "What goes out instead of the original, as in GET /videos/{id}; null: the original.",
        },
    )
    if_over_quota = fields.String(required=True)
    guarantee = fields.Function(
        lambda target: registry().get(target.platform).guarantee,
        required=True,
        metadata={"type": "string", "description": "See GET /platforms."},
    )
    progress_bytes = fields.Integer(required=True)
    retries = fields.Integer(required=True)
    published_at = Instant(allow_none=True, required=True)
    remote_id = fields.String(allow_none=True, required=True)
    permalink = fields.String(allow_none=True, required=True)
    error = fields.Method("_error", allow_none=True, required=True, metadata={"type": "object"})
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
    attempts_url = fields.Method("_attempts_url", required=True, metadata={"type": "string", "format": "uri"})
    created_at = Instant(required=True)
    updated_at = Instant(required=True)

    def _error(self, target: Target) -> dict[str, Any] | None:
        """Return the inner object of the envelope, with how many seconds to wait, if that is known."""
        if target.error is None:
            return None
        retry_at = target.error.get("retry_at")
        return {**target.error, "retry_after": _seconds_until(retry_at) if retry_at else None}

    def _rendition(self, target: Target) -> Any:
        if target.rendition_id is None or target.rendition is None:
            return None
        return RenditionSchema().dump(renditions.shown(target.rendition, target.rendition.video))

    def _attempts_url(self, target: Target) -> str:
        return f"{settings().public_url.rstrip('/')}/api/v1/targets/{target.id}/attempts"


def _seconds_until(instant: str) -> int:
    return max(0, round((datetime.fromisoformat(instant) - clock.now()).total_seconds()))


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
    error = fields.Dict(allow_none=True, required=True)
    details = fields.Dict(required=True)
