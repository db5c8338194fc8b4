"""Runs an effect once for each Idempotency-Key; reads If-Match, and says the ETag to send with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from flask import Response, current_app, request

from app.exceptions import PreconditionFailedError
from app.extensions import db
from app.routes.base import principal
from app.schemas.base import Schema
from app.services import idempotency
from app.services.idempotency import Remember, forget

Result = TypeVar("Result")
ETAG = {  # in the document, for answers that `tagged` makes
    "ETag": {
        "description": "The version of what is shown, to be sent as If-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    }
}


class Versioned(Protocol):
    """What has a version to be asked for by If-Match."""

    @property
    def version(self) -> int: ...


Shown = TypeVar("Shown", bound=Versioned)


def once(
    key: str | None,
    effect: Callable[[Remember], Result],
    *,
    schema: type[Schema],
    status: int = 200,
    sealed: bool = False,
) -> Result | Response:
    """Return what `effect` returns, or the stored answer of the first request with this key.

    `effect` gets a function to call with its result just before it commits; the answer is stored in that
    transaction, as `schema` writes it; `sealed` when it holds a secret, or a link that opens something by itself.
    """
    if key is None:
        return effect(forget)
    claim = idempotency.claim(key, principal(), request=_fingerprint())
    if isinstance(claim, idempotency.Replay):
        return _replayed(claim)

    def remember(result: Result) -> None:
        idempotency.store(claim, status=status, body=schema().dump(result), sealed=sealed)

    return effect(remember)


def once_streamed(
    key: str | None,
    effect: Callable[[Remember], Result],
    *,
    schema: type[Schema],
    status: int = 200,
    sealed: bool = False,
) -> Result | Response:
    """Do as `once_apart` for a body too long to be read twice: it is known by its headers and its length."""
    facts = (request.method, request.full_path, request.mimetype, request.content_length)
    fingerprint = repr((*facts, request.headers.get("X-Filename"))).encode()
    return once_apart(key, effect, schema=schema, status=status, sealed=sealed, fingerprint=fingerprint)


def once_apart(
    key: str | None,
    effect: Callable[[Remember], Result],
    *,
    schema: type[Schema],
    status: int = 200,
    sealed: bool = False,
    fingerprint: bytes | None = None,
) -> Result | Response:
    """Do as `once` for an effect that asks others before it commits: no transaction is open meanwhile.

    So of two at the same time the slower one is refused at its end, and its own changes are taken back.
    """
    if key is None:
        return effect(forget)
    fingerprint = fingerprint or _fingerprint()
    claim = idempotency.claim(key, principal(), request=fingerprint)
    db.session.rollback()
    if isinstance(claim, idempotency.Replay):
        return _replayed(claim)

    def remember(result: Result) -> None:
        again = idempotency.claim_again(key, principal(), request=fingerprint)
        idempotency.store(again, status=status, body=schema().dump(result), sealed=sealed)

    return effect(remember)


def _replayed(claim: idempotency.Replay) -> Response:
    body = current_app.json.dumps(claim.body) + "\n"
    return Response(body, claim.status, {"Idempotency-Replayed": "true"}, mimetype="application/json")


def _fingerprint() -> bytes:
    return f"{request.method} {request.full_path}\n".encode() + request.get_data()


def tagged(answer: Shown | Response, **headers: str) -> tuple[Shown, dict[str, str]] | Response:
    """Return the answer with its version as ETag, and with these headers, also where it is a stored one."""
    if not isinstance(answer, Response):
        return answer, {"ETag": f'"{answer.version}"', **headers}
    version = answer.get_json().get("version")
    if version is not None:  # what was stored by an older version of this program may lack it
        answer.headers["ETag"] = f'"{version}"'
    answer.headers.update(headers)
    return answer


def once_tagged(
    key: str | None,
    effect: Callable[[Remember], Shown],
    *,
    schema: type[Schema],
    status: int = 200,
    sealed: bool = False,
) -> tuple[Shown, dict[str, str]] | Response:
    """Do as `once`, and return the answer with its version as ETag."""
    return tagged(once(key, effect, schema=schema, status=status, sealed=sealed))


def wanted_version(if_match: str | None) -> int | None:
    """Return the version an If-Match header asks for; None: any. Raises PreconditionFailedError for nonsense."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise PreconditionFailedError("If-Match must be the version that was read.", {"found": text})
    return int(text)
