"""Receipts: the proof of a post, for programs and for people."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, make_response, render_template

from app.exceptions import AppException
from app.routes.base import Blueprint, principal
from app.schemas.receipts import ReceiptQuerySchema, ReceiptSchema
from app.services import receipts

blp = Blueprint("receipts", __name__, description="Receipts: the proof of a post.", url_prefix="")


@blp.get("/api/v1/targets/<uuid:target_id>/receipt")
@blp.requires(role="viewer", scope="read")
@blp.arguments(ReceiptQuerySchema, location="query")
@blp.response(200, ReceiptSchema)
def get_target_receipt(query: dict[str, Any], target_id: uuid.UUID) -> receipts.Receipt:
    """Get the proof of a post: file, times, calls, guarantee, and a link to the same as a page."""
    return receipts.of_target(principal(), target_id, **query)


@blp.get("/receipts/<token>")
@blp.public()
@blp.doc(hide=True)
def show_receipt(token: str) -> Response:
    """Show a receipt behind a signed link; whoever has the link may see it."""
    try:
        response = make_response(render_template("receipt.html", receipt=receipts.by_link(token)))
    except AppException as error:
        response = make_response(render_template("receipt.html", problem=error.message), error.status)
    response.headers["Cache-Control"] = "private, no-store"
    return response
