"""Bodies of many posts at once."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.schemas.base import Schema
from app.schemas.posts import PostSchema, PreviewSchema
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
        fields.Dict(keys=fields.String(), metadata={"description": "As the body of `POST /posts`."}),
        required=True,
        validate=validate.Length(1, MOST),
    )


class ItemSchema(Schema):
    """The answer to one item: `post` when `status` is below 300, else `error`."""

    index = fields.Integer(required=True)
    status = fields.Integer(required=True)
    post = fields.Method("_post", allow_none=True, required=True, metadata={"type": "object"})
    error = fields.Dict(allow_none=True, required=True)

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


class ExportQuerySchema(Schema):
    format = fields.String(load_default="csv", validate=validate.OneOf(("csv", "jsonl")))
