"""Runs an effect once for each Idempotency-Key, and reads If-Match."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import Response, current_app, request

from app.exceptions import PreconditionFailedError
from app.routes.base import principal
from app.schemas.base import Schema
from app.services import idempotency
from app.services.idempotency import Remember, forget

Result = TypeVar("Result")


def once(
    key: str | None, effect: Callable[[Remember], Result], *, schema: type[Schema], status: int = 200
) -> Result | Response:
    """Return what `effect` returns, or the stored answer of the first request with this key.

    `effect` gets a function to call with its result just before it commits; the answer is stored in that
    transaction, as `schema` writes it.
    """
    if key is None:
        return effect(forget)
    claim = idempotency.claim(key, principal(), request=_fingerprint())
    if isinstance(claim, idempotency.Replay):
        body = current_app.json.dumps(claim.body) + "\n"
        headers = {"Idempotency-Replayed": "true"}
        return Response(body, claim.status, headers, mimetype="application/json")

    def remember(result: Result) -> None:
        idempotency.store(claim, status=status, body=schema().dump(result))

    return effect(remember)


def _fingerprint() -> bytes:
    return f"{request.method} {request.full_path}\n".encode() + request.get_data()


def wanted_version(if_match: str | None) -> int | None:
    """Return the version an If-Match header asks for; None: any. Raises PreconditionFailedError for nonsense."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise PreconditionFailedError("If-Match must be the version that was read.", {"found": text})
    return int(text)
