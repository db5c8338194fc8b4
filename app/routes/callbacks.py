"""Where platforms call us: events, ended consents, wishes to be forgotten. What they must prove is theirs to say."""

from __future__ import annotations

from flask import Response, jsonify, make_response, request

from app.platforms.base import Callback, Purpose
from app.routes.base import Blueprint
from app.services import callbacks

blp = Blueprint("callbacks", __name__, description="Callbacks of the platforms.")

BODY_BYTES = 256 * 1024


@blp.get("/platforms/<name>/webhook")
@blp.public(body_limit=BODY_BYTES)
@blp.doc(hide=True)
def verify_webhook(name: str) -> Response:
    """Answer a platform that asks whether this address is ours."""
    return _receive(name, "webhook")


@blp.post("/platforms/<name>/webhook")
@blp.public(body_limit=BODY_BYTES)
@blp.doc(hide=True)
def receive_webhook(name: str) -> Response:
    """Take a platform's events."""
    return _receive(name, "webhook")


@blp.post("/platforms/<name>/deauthorize")
@blp.public(body_limit=BODY_BYTES)
@blp.doc(hide=True)
def receive_deauthorization(name: str) -> Response:
    """Hear that a person took their consent back."""
    return _receive(name, "deauthorize")


@blp.post("/platforms/<name>/data-deletion")
@blp.public(body_limit=BODY_BYTES)
@blp.doc(hide=True)
def receive_deletion(name: str) -> Response:
    """Delete what is kept of a person who asked for it at the platform."""
    return _receive(name, "data_deletion")


def _receive(name: str, purpose: Purpose) -> Response:
    headers = {key.lower(): value for key, value in request.headers.items()}
    callback = Callback(purpose, request.method, request.args.to_dict(), headers, request.get_data())
    answer = callbacks.receive(name, callback)
    if isinstance(answer, dict):
        return jsonify(answer)
    return make_response(answer, 200, {"Content-Type": "text/plain; charset=utf-8"})
