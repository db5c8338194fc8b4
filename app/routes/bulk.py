"""Many posts in one request, as JSON or as a table; and all of them as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import marshmallow
from flask import Response, request, stream_with_context

from app.exceptions import AppException, ValidationError
from app.routes import examples
from app.routes.base import Blueprint, principal
from app.schemas.bulk import (
    BulkAnswerSchema,
    BulkQuerySchema,
    BulkSchema,
    ExportQuerySchema,
    ImportQuerySchema,
)
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.posts import NewPostSchema, PostSchema
from app.services import bulk, tables
from app.services.planning import PostInput
from app.services.post_list import Filter

blp = Blueprint("bulk", __name__, description="Many posts at once, and tables of posts.")


@blp.post("/posts/bulk")
@blp.requires(role="editor", scope="write")
@blp.arguments(BulkSchema)
@blp.arguments(BulkQuerySchema, location="query")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, BulkAnswerSchema)
def create_posts(body: dict[str, Any], query: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """Make many posts, each alone: what is wrong with one stops no other."""
    return _answer(dict(enumerate(body["posts"])), dry_run=query["dry_run"], key=headers["idempotency_key"])


@blp.post("/posts/import")
@blp.requires(role="editor", scope="write")
@blp.arguments(ImportQuerySchema, location="query")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, BulkAnswerSchema)
@blp.doc(
    requestBody={
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": examples.JSON_LINES},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
)
def import_posts(query: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """Import posts from CSV, JSON lines or a JSON list; nothing is stored until `dry_run=false`.

    Each post has its answer; that of a table's row has the row's number as its index. Rows with the same `post_id`,
    as an export has them, are one post, under the number of its first.
    """
    return _answer(_rows(), dry_run=query["dry_run"], key=headers["idempotency_key"])


@blp.get("/posts/export")
@blp.requires(role="viewer", scope="read")
@blp.arguments(ExportQuerySchema, location="query")
@blp.response(200, description="A row for each target: CSV, or JSON one a line.")
def export_posts(query: dict[str, Any]) -> Response:
    """Export posts, a row for each target, oldest first; `POST /posts/import` takes what comes.

    With `channel_id` the rows of a post's other channels are left out.
    """
    suffix = query.pop("format")
    rows = tables.export_rows(principal(), Filter(**query))
    as_csv = suffix == "csv"
    lines = tables.as_csv(rows) if as_csv else tables.as_json_lines(rows)
    kind = "text/csv; charset=utf-8; header=present" if as_csv else "application/x-ndjson"
    name = f"posts.{suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(lines), content_type=kind, headers=headers)


READERS = {"text/csv": tables.read_csv, "application/x-ndjson": tables.read_json_lines}


def _rows() -> Mapping[int, dict[str, Any] | AppException]:
    if read := READERS.get(request.mimetype):
        try:
            return read(request.get_data().decode("utf-8"))
        except UnicodeDecodeError:
            raise ValidationError(details={"body": ["This is not UTF-8."]}) from None
    rows = request.get_json()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValidationError(
            details={"body": ["Send a list of objects, each like the body of POST /posts."]}
        )
    bulk.check_number(len(rows))
    return dict(enumerate(rows))


def _answer(
    rows: Mapping[int, dict[str, Any] | AppException], *, dry_run: bool, key: str | None
) -> dict[str, Any]:
    items = {index: row if isinstance(row, AppException) else _loaded(row) for index, row in rows.items()}
    answers = bulk.create_each(items, principal(), dry_run=dry_run, key=key, dump=PostSchema().dump)
    refused = sum(answer.error is not None for answer in answers)
    return {"dry_run": dry_run, "accepted": len(answers) - refused, "refused": refused, "data": answers}


def _loaded(row: dict[str, Any]) -> PostInput | AppException:
    try:
        return cast(PostInput, NewPostSchema().load(row))
    except marshmallow.ValidationError as error:
        return ValidationError(details=error.normalized_messages())  # type: ignore[no-untyped-call]
