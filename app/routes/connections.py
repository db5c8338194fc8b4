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
from app.schemas.connections import (
    BegunConnectionSchema,
    CompletedSchema,
    CompletionSchema,
    ConnectionSchema,
    NewConnectionSchema,
)
from app.services import connections
from app.services.platforms import registry

blp = Blueprint("connections", __name__, description="Connections: consents under way.")


@blp.post("/connections")
@blp.requires(role="editor", scope="write")
@blp.arguments(NewConnectionSchema)
@blp.response(201, BegunConnectionSchema)
def create_connection(body: dict[str, Any]) -> Response:
    """Begin to connect an account. Send the browser that asked on to `authorize_url`."""
    begun = connections.begin(principal(), **body)
    answer = ConnectionSchema().dump(begun.connection)
    response = make_response(answer | {"authorize_url": begun.authorize_url, "fields": []}, 201)
    response.set_cookie(
        _cookie(begun.connection.id),
        begun.nonce,
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
@blp.response(200, CompletedSchema)
def complete_connection(body: dict[str, Any], connection_id: uuid.UUID) -> dict[str, Any]:
    """Make channels of the chosen accounts, or renew those that exist."""
    made = connections.complete(principal(), connection_id, choice_ids=body.get("choice_ids"))
    return {"id": connection_id, "status": "completed", "channels": made}


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
