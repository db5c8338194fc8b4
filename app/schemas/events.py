"""The outbox as it is read."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from app.schemas.base import DEFAULT_PAGE, MAX_PAGE, Instant, PaginationSchema, Schema


class EventsQuerySchema(Schema):
    after = fields.Integer(
        validate=validate.Range(0, 2**63 - 1),
        metadata={"description": "The number to continue after; without it from the beginning."},
    )
    cursor = fields.Integer(
        validate=validate.Range(0, 2**63 - 1),
        metadata={
            "description": "`pagination.next_cursor` of the page before, as in other lists. The same as `after`."
        },
    )
    limit = fields.Integer(
        load_default=DEFAULT_PAGE,
        validate=validate.Range(1, MAX_PAGE),
        metadata={"description": f"Rows a page, 1 to {MAX_PAGE}."},
    )

    @post_load
    def _take_either(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "after" in data and "cursor" in data:
            raise ValidationError("Send only one of after and cursor.", "cursor")
        return {"after": data.get("after", data.get("cursor", 0)), "limit": data["limit"]}


class EventDataSchema(Schema):
    """What happened, besides whom it concerns. What an event of a type does not say is left out."""

    changed = fields.List(
        fields.String(),
        metadata={"description": "The names of what was changed (post, target, workspace .updated)."},
    )
    ends_at = fields.String(
        metadata={"format": "date-time", "description": "When the grant ends (channel.grant_ends_soon)."}
    )
    host = fields.String(metadata={"description": "Where the endpoint is (webhook.disabled)."})
    kind = fields.String(metadata={"description": "Which step, e.g. first_comment (step.*)."})
    message = fields.String(
        metadata={"description": "What went wrong (video.thumbnail_failed, channel.paused)."}
    )
    platform = fields.String(
        metadata={
            "description": "The channel's platform (channel.connected, .reconnected, .grant_ends_soon, .paused)."
        }
    )
    platform_code = fields.String(
        metadata={"description": "The platform's own word for it (channel.paused: account_blocked)."}
    )
    reason = fields.String(
        metadata={
            "description": "Why (webhook.disabled; channel.disconnected: deletion; .paused: account_blocked)."
        }
    )
    role = fields.String(metadata={"description": "What the member is now (member.joined, member.updated)."})
    status = fields.String(metadata={"description": "The post's (post.created)."})
    targets = fields.Integer(metadata={"description": "How many the post has (post.created)."})
    video_id = fields.UUID(metadata={"description": "What the rendition is made of (rendition.*)."})


class EventSchema(Schema):
    seq = fields.Integer(required=True, metadata={"description": "Rises; what to continue after."})
    type = fields.String(required=True, metadata={"description": "noun.change, e.g. target.published."})
    post_id = fields.UUID(allow_none=True, required=True)
    target_id = fields.UUID(allow_none=True, required=True)
    subject_id = fields.UUID(allow_none=True, required=True)
    data = fields.Nested(EventDataSchema, required=True)
    created_at = Instant(required=True)


class EventsSchema(Schema):
    data = fields.List(fields.Nested(EventSchema), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
