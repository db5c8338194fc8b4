"""Connecting accounts."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, make_response, render_template, request

from app.exceptions import AppException
from app.extensions import read_write, settings
from app.models import Connection
from app.platforms.registry import CALLBACK_PATH
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once
from app.schemas.connections import (
    BegunConnectionSchema,
    CompletedSchema,
    CompletionSchema,
    ConnectionSchema,
    KeptConnectionSchema,
    NewConnectionSchema,
)
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.services import connections
from app.services.platforms import registry

blp = Blueprint("connections", __name__, description="Connections: consents under way.")


@blp.post("/connections")
@blp.requires(role="editor", scope="write")
@blp.arguments(NewConnectionSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, BegunConnectionSchema)
def create_connection(body: dict[str, Any], headers: dict[str, Any]) -> Response:
    """Begin to connect an account. Send the browser that asked on to `authorize_url`."""
    begun = once(
        headers["idempotency_key"],
        lambda remember: connections.begin(principal(), **body, remember=remember),
        schema=KeptConnectionSchema,
        status=201,
        sealed=True,
    )
    if isinstance(begun, Response):
        answer, replayed = begun.get_json(), {"Idempotency-Replayed": "true"}
    else:
        answer, replayed = KeptConnectionSchema().dump(begun), {}
    nonce = answer.pop("nonce")
    response = make_response(answer, 201, replayed)
    response.set_cookie(
        _cookie(uuid.UUID(answer["id"])),
        nonce,
        max_age=int(connections.LIFE.total_seconds()),
        path=CALLBACK_PATH,
        httponly=True,
        samesite="Lax",  # sent along when the platform sends the browser back, by a link and nothing else
        secure=settings().public_url.startswith("https://"),
    )
    return response


def _cookie(connection_id: uuid.UUID) -> str:
    return f"connection_{connection_id.hex}"


@blp.get("/connections/<uuid:connection_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, ConnectionSchema)
def get_connection(connection_id: uuid.UUID) -> Connection:
    """Get a connection: how far it is, and once authorized the accounts to choose from."""
    return connections.get(principal(), connection_id)


@blp.post("/connections/<uuid:connection_id>/complete")
@blp.requires(role="editor", scope="write")
@blp.arguments(CompletionSchema, required=False)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, CompletedSchema)
def complete_connection(
    body: dict[str, Any], headers: dict[str, Any], connection_id: uuid.UUID
) -> connections.Completed | Response:
    """Make channels of the chosen accounts, or renew those that exist."""
    return once(
        headers["idempotency_key"],
        lambda remember: connections.complete(
            principal(), connection_id, choice_ids=body.get("choice_ids"), remember=remember
        ),
        schema=CompletedSchema,
    )


@blp.get("/connections/callback")
@blp.public()
@blp.doc(hide=True)
def receive_consent() -> Response:
    """Take the browser back from the platform's consent page; it shows a page, not JSON."""
    with read_write():
        try:
            row = connections.receive_consent(
                request.args.to_dict(), nonce_of=lambda id_: request.cookies.get(_cookie(id_))
            )
        except AppException as error:
            return _page(error.status, error=error.message)
    response = _page(200, platform=registry().get(row.platform).label)
    response.delete_cookie(_cookie(row.id), path=CALLBACK_PATH)
    return response


def _page(status: int, **facts: Any) -> Response:
    return make_response(render_template("connection.html", **facts), status)
