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


class EventSchema(Schema):
    seq = fields.Integer(required=True, metadata={"description": "Rises; what to continue after."})
    type = fields.String(required=True, metadata={"description": "noun.change, e.g. target.published."})
    post_id = fields.UUID(allow_none=True, required=True)
    target_id = fields.UUID(allow_none=True, required=True)
    subject_id = fields.UUID(allow_none=True, required=True)
    data = fields.Dict(required=True)
    created_at = Instant(required=True)


class EventsSchema(Schema):
    data = fields.List(fields.Nested(EventSchema), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
