"""Bodies of workspaces."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.base import Instant, Schema

LONGEST_LATENESS = 7 * 86_400  # seconds


def _name(*, required: bool) -> fields.String:
    return fields.String(required=required, validate=validate.Length(1, 100))


class NewWorkspaceSchema(Schema):
    name = _name(required=True)


class WorkspaceChangesSchema(Schema):
    name = _name(required=False)
    late_after_seconds = fields.Integer(
        allow_none=True,
        validate=validate.Range(60, LONGEST_LATENESS),
        metadata={
            "description": "How long after its time a post is still worth publishing; null: the usual. "
            "For posts made from now on."
        },
    )


class FilesSchema(Schema):
    count = fields.Integer(required=True)
    bytes = fields.Integer(required=True)


class UsageSchema(Schema):
    originals = fields.Nested(
        FilesSchema, required=True, metadata={"description": "Videos as they were sent."}
    )
    uploads = fields.Nested(
        FilesSchema, required=True, metadata={"description": "On their way in, with the bytes they hold."}
    )
    renditions = fields.Nested(FilesSchema, required=True, metadata={"description": "Converted files."})
    thumbnails = fields.Nested(FilesSchema, required=True)
    counted_bytes = fields.Integer(
        required=True, metadata={"description": "Of originals and uploads: what counts against the limit."}
    )
    limit_bytes = fields.Integer(allow_none=True, required=True, metadata={"description": "null: no limit."})


class WorkspaceSchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    paused_at = Instant(allow_none=True, required=True)
    late_after_seconds = fields.Integer(allow_none=True, required=True)
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
