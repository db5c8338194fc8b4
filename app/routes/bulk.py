"""Many posts in one request, as JSON or as a table; and all of them as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import marshmallow
from flask import Response, request, stream_with_context

from app.exceptions import AppException, ValidationError
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
from app.services import bulk
from app.services.planning import PostInput

blp = Blueprint("bulk", __name__, description="Many posts at once, and tables of posts.")


@blp.post("/posts/bulk")
@blp.requires(role="editor", scope="write")
@blp.arguments(BulkSchema)
@blp.arguments(BulkQuerySchema, location="query")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, BulkAnswerSchema)
def create_posts(body: dict[str, Any], query: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """Make many posts, each alone: what is wrong with one stops no other."""
    return _answer(body["posts"], dry_run=query["dry_run"], key=headers["idempotency_key"])


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
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
)
def import_posts(query: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """Import posts from CSV or a JSON list. Nothing is stored until `dry_run=false`; every row has its answer."""
    return _answer(_rows(), dry_run=query["dry_run"], key=headers["idempotency_key"])


@blp.get("/posts/export")
@blp.requires(role="viewer", scope="read")
@blp.arguments(ExportQuerySchema, location="query")
@blp.response(200, description="A row for each target: CSV, or JSON one a line.")
def export_posts(query: dict[str, Any]) -> Response:
    """Export all posts, a row for each target, oldest first."""
    rows = bulk.export_rows(principal())
    as_csv = query["format"] == "csv"
    lines = bulk.as_csv(rows) if as_csv else bulk.as_json_lines(rows)
    kind = "text/csv; charset=utf-8; header=present" if as_csv else "application/x-ndjson"
    name = f"posts.{query['format']}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(lines), content_type=kind, headers=headers)


def _rows() -> Sequence[dict[str, Any] | AppException]:
    if request.mimetype == "text/csv":
        try:
            return bulk.read_csv(request.get_data().decode("utf-8"))
        except UnicodeDecodeError:
            raise ValidationError(details={"body": ["This is not UTF-8."]}) from None
    rows = request.get_json()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValidationError(
            details={"body": ["Send a list of objects, each like the body of POST /posts."]}
        )
    bulk.check_number(len(rows))
    return cast(list[dict[str, Any]], rows)


def _answer(
    rows: Sequence[dict[str, Any] | AppException], *, dry_run: bool, key: str | None
) -> dict[str, Any]:
    items = [row if isinstance(row, AppException) else _loaded(row) for row in rows]
    answers = bulk.create_each(items, principal(), dry_run=dry_run, key=key, dump=PostSchema().dump)
    refused = sum(answer.error is not None for answer in answers)
    return {"dry_run": dry_run, "accepted": len(answers) - refused, "refused": refused, "data": answers}


def _loaded(row: dict[str, Any]) -> PostInput | AppException:
    try:
        return cast(PostInput, NewPostSchema().load(row))
    except marshmallow.ValidationError as error:
        return ValidationError(details=error.normalized_messages())  # type: ignore[no-untyped-call]
