"""Receipts: the proof of a post, for programs and for people."""

from __future__ import annotations

import uuid

from flask import Response, make_response, render_template

from app.exceptions import AppException
from app.routes.base import Blueprint, principal
from app.schemas.receipts import ReceiptSchema
from app.services import receipts

blp = Blueprint("receipts", __name__, description="Receipts: the proof of a post.", url_prefix="")


@blp.get("/api/v1/targets/<uuid:target_id>/receipt")
@blp.requires(role="viewer", scope="read")
@blp.response(200, ReceiptSchema)
def get_target_receipt(target_id: uuid.UUID) -> receipts.Receipt:
    """Get the proof of a post: file, times, calls, guarantee, and a link to the same as a page."""
    return receipts.of_target(principal(), target_id)


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
