"""Bodies of many posts at once."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.schemas.base import Schema
from app.schemas.errors import ErrorBodySchema
from app.schemas.options import AsGiven
from app.schemas.posts import NewPostSchema, PostFilterSchema, PostSchema, PreviewSchema
from app.services.bulk import MOST, Answer


class BulkQuerySchema(Schema):
    dry_run = fields.Boolean(
        load_default=False,
        metadata={"description": "Check every item and say what would happen; store nothing."},
    )


class ImportQuerySchema(Schema):
    dry_run = fields.Boolean(
        load_default=True,
        metadata={"description": "Look first: nothing is stored before this is false."},
    )


class BulkSchema(Schema):
    posts = fields.List(
        AsGiven(
            NewPostSchema,
            fields.Dict(keys=fields.String()),
            metadata={"description": "As the body of `POST /posts`, and each is judged alone."},
        ),
        required=True,
        validate=validate.Length(1, MOST),
    )


# Stored, or of a dry run; null beside an error.
POST = [{"$ref": f"#/components/schemas/{name}"} for name in ("Post", "Preview")] + [{"type": "null"}]


class ItemSchema(Schema):
    """The answer to one item: `post` when `status` is below 300, else `error`."""

    index = fields.Integer(
        required=True, metadata={"description": "Its number from 0; of a table, that of its first row."}
    )
    status = fields.Integer(required=True)
    post = fields.Method("_post", required=True, metadata={"anyOf": POST})
    error = fields.Nested(ErrorBodySchema, allow_none=True, required=True)

    def _post(self, answer: Answer) -> Any:
        if answer.post is None:
            return answer.replayed
        return (PreviewSchema() if answer.status == 200 else PostSchema()).dump(answer.post)


class BulkAnswerSchema(Schema):
    """One answer for each item, in order."""

    dry_run = fields.Boolean(required=True)
    accepted = fields.Integer(required=True)
    refused = fields.Integer(required=True)
    data = fields.List(fields.Nested(ItemSchema), required=True)


class ExportQuerySchema(PostFilterSchema):
    format = fields.String(
        load_default="csv",
        validate=validate.OneOf(("csv", "jsonl")),
        metadata={"description": "csv with a header, or jsonl: an object a line."},
    )
