"""The error tree, and everybody else's errors, as one envelope: {"error": {"code", "message", "details"}}.

flask-smorest, Flask-JWT-Extended, Flask-Limiter, webargs and Werkzeug each bring a body of their own; all of
them end in `_envelope`. Bugs are handled on status 500 rather than on `Exception`: only then does Flask send
`got_request_exception`, which is what Sentry listens to. Families caught on purpose are told to it here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import flask_smorest
import marshmallow
import sentry_sdk
from flask import Flask, Response, current_app, g, jsonify, request
from flask_jwt_extended.exceptions import JWTExtendedException, NoAuthorizationError
from flask_limiter import RateLimitExceeded
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RoutingException
from werkzeug.wrappers import Response as WerkzeugResponse

from app import clock
from app.config import Settings
from app.database_errors import as_told
from app.exceptions import (
    AppException,
    AuthenticationError,
    InvalidTokenError,
    PlatformAPIError,
    ServiceUnavailableError,
    TokenExpiredError,
)
from app.logging_config import get_logger

logger = get_logger(__name__)

# status -> (code, message) of errors that no exception of the tree stands for
HTTP_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BAD_REQUEST", "The request could not be understood."),
    401: ("AUTH_ERROR", AuthenticationError.default_message),
    403: ("AUTHORIZATION_ERROR", "This is not allowed."),
    404: ("RESOURCE_NOT_FOUND", "There is nothing at this address."),
    405: ("METHOD_NOT_ALLOWED", "This address does not take this method. See the Allow header."),
    406: ("NOT_ACCEPTABLE", "The answer cannot be given in the form the Accept header asks for."),
    408: ("REQUEST_TIMEOUT", "The request took too long to arrive."),
    409: ("CONFLICT", "The request contradicts the present state."),
    410: ("GONE", "This is no longer here."),
    411: ("LENGTH_REQUIRED", "The request needs a Content-Length header."),
    412: ("PRECONDITION_FAILED", "It was changed meanwhile. Read it again and repeat with its new ETag."),
    413: ("PAYLOAD_TOO_LARGE", "The body is larger than what is accepted here."),
    414: ("URI_TOO_LONG", "The address is too long."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "This Content-Type is not accepted here."),
    416: ("RANGE_NOT_SATISFIABLE", "The file has no such range."),
    417: ("EXPECTATION_FAILED", "The Expect header cannot be met."),
    422: ("VALIDATION_ERROR", "Some of the input is not valid. See details for each field."),
    428: ("PRECONDITION_REQUIRED", "Send If-Match with the ETag that was read."),
    429: ("RATE_LIMIT_EXCEEDED", "Too many requests. Wait a moment and try again."),
    431: ("HEADERS_TOO_LARGE", "The request's headers are too large."),
    500: ("INTERNAL_ERROR", AppException.default_message),
    501: ("NOT_IMPLEMENTED", "The server cannot do this."),
    502: ("BAD_GATEWAY", "A server behind this one gave no usable answer."),
    503: ("SERVICE_UNAVAILABLE", "The service is not able to do this right now. Try again shortly."),
    504: ("GATEWAY_TIMEOUT", "A server behind this one did not answer in time."),
}
RETRY_AFTER_STATUSES: Final = frozenset({429, 503})


class Api(flask_smorest.Api):  # type: ignore[misc]  # untyped package
    """flask-smorest's Api, whose errors are the one envelope."""

    def handle_http_exception(self, error: HTTPException) -> WerkzeugResponse:
        return handle_http_exception(error)


def init_app(app: Flask, settings: Settings) -> None:  # noqa: ARG001 - every subsystem has this shape
    """Register all handlers. Called after the JWT extension, whose own handlers are replaced."""
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(500, handle_http_exception)
    app.register_error_handler(AppException, _handle_app_exception)
    app.register_error_handler(marshmallow.ValidationError, _handle_schema_error)
    app.register_error_handler(SQLAlchemyError, _handle_database_error)
    for family in {*_token_errors(app), JWTExtendedException, PyJWTError}:
        app.register_error_handler(family, _handle_token_error)
    # First in the list runs last: after Flask-Limiter, which puts Retry-After on every answer.
    app.after_request_funcs.setdefault(None, []).insert(0, _strip_retry_after)


def _token_errors(app: Flask) -> list[type[Exception]]:
    registered = app.error_handler_spec[None][None]
    return [family for family in registered if issubclass(family, JWTExtendedException | PyJWTError)]


# -- the families


def handle_http_exception(error: HTTPException) -> WerkzeugResponse:
    """Answer an HTTP error in the envelope, keeping its headers (Allow, Content-Range, Retry-After)."""
    response = error.get_response(request.environ)
    if isinstance(error, RoutingException) or error.response is not None or response.status_code < 400:
        return response  # a redirect, a 304 or a ready-made answer: there is no error to describe
    data: Mapping[str, Any] = getattr(error, "data", None) or {}
    code, message = HTTP_ERRORS.get(
        response.status_code, HTTP_ERRORS[500 if response.status_code >= 500 else 400]
    )
    body = {
        "code": code,
        "message": data.get("message") or _own_words(error) or message,
        "details": _http_details(error, data),
    }
    response.headers.extend(data.get("headers") or {})
    if isinstance(error, RateLimitExceeded) and "Retry-After" not in response.headers:
        response.headers["Retry-After"] = str(_limit_resets_in())
    return _envelope(body, response)


def _handle_app_exception(error: AppException) -> WerkzeugResponse:
    if error.status >= 500:
        _report(error, worth_sentry=error.status != 503)
    response = jsonify()
    response.status_code = error.status
    wait = _seconds_to_wait(error)
    if wait is not None and error.status in RETRY_AFTER_STATUSES:
        g.retry_after = response.headers["Retry-After"] = str(wait)
    return _envelope(error.to_dict(), response)


def _handle_schema_error(error: marshmallow.ValidationError) -> WerkzeugResponse:
    code, message = HTTP_ERRORS[422]
    response = jsonify()
    response.status_code = 422
    return _envelope({"code": code, "message": message, "details": field_problems(error.messages)}, response)


def _handle_database_error(error: SQLAlchemyError) -> WerkzeugResponse:
    told = as_told(error)
    if isinstance(told, ServiceUnavailableError):
        return _handle_app_exception(told)
    _report(error, worth_sentry=True)
    return _handle_quietly(told)


def _handle_token_error(error: Exception) -> WerkzeugResponse:
    if isinstance(error, ExpiredSignatureError):
        return _handle_quietly(TokenExpiredError())
    return _handle_quietly(
        AuthenticationError() if isinstance(error, NoAuthorizationError) else InvalidTokenError()
    )


def _handle_quietly(error: AppException) -> WerkzeugResponse:
    response = jsonify()
    response.status_code = error.status
    return _envelope(error.to_dict(), response)


def _report(error: Exception, *, worth_sentry: bool) -> None:
    logger.error("%s: %s", type(error).__name__, error, exc_info=error)
    if worth_sentry:
        sentry_sdk.capture_exception(error)


# -- the envelope


def _envelope(body: Mapping[str, Any], response: WerkzeugResponse) -> WerkzeugResponse:
    response.set_data(current_app.json.dumps({"error": body}, sort_keys=False) + "\n")
    response.content_type = "application/json"
    if response.status_code == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    return response


def _own_words(error: HTTPException) -> str | None:
    """The words given to `abort(400, description=...)`, if any; never those of a 500 or of the limiter."""
    if (error.code or 500) >= 500 or isinstance(error, RateLimitExceeded):
        return None
    return error.description if error.description != type(error).description else None


def _http_details(error: HTTPException, data: Mapping[str, Any]) -> dict[str, Any]:
    problems = data.get("errors") or data.get("messages")
    if problems:
        return field_problems(problems)
    if isinstance(error, RateLimitExceeded):
        return {"limit": str(error.limit.limit)}
    if error.code == 400 and request.is_json and not _is_sound_json():
        return {"body": ["This is not valid JSON in UTF-8."]}
    if error.code in {404, 405}:
        facts: dict[str, Any] = {"method": request.method, "path": request.path}
        allowed = getattr(error, "valid_methods", None)
        return facts | ({"allowed": sorted(allowed)} if allowed else {})
    if error.code == 415:
        return {"content_type": request.mimetype}
    if error.code == 413 and request.max_content_length:
        return {"max_bytes": request.max_content_length}
    return {}


def _is_sound_json() -> bool:
    try:
        request.get_json()
    except HTTPException:
        return False
    return True


def field_problems(messages: Any) -> dict[str, list[str]]:
    """Flatten schema messages to field -> problems: {"json": {"targets": {0: {"id": ..}}}} to "targets.0.id".

    The location (json, query, headers ...) is left out; problems of a whole body stand under its name.
    """
    if not isinstance(messages, Mapping):
        return {"body": [str(item) for item in _listed(messages)]}
    flat: dict[str, list[str]] = {}
    for location, problems in messages.items():
        is_location = str(location) in _LOCATIONS and isinstance(problems, Mapping)
        for path, texts in _walk(problems, () if is_location else (str(location),)):
            flat.setdefault(".".join(path) or str(location), []).extend(texts)
    return flat


_LOCATIONS = frozenset(
    {"json", "query", "querystring", "headers", "form", "files", "path", "view_args", "cookies"}
)


def _walk(problems: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    if not isinstance(problems, Mapping):
        yield path, [str(item) for item in _listed(problems)]
        return
    for key, inner in problems.items():
        yield from _walk(inner, path if key == "_schema" else (*path, str(key)))


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else [value]


# -- Retry-After


def _seconds_to_wait(error: AppException) -> int | None:
    if isinstance(error, PlatformAPIError) and error.retry_at:
        return _seconds_until(error.retry_at)
    asked = error.details.get("retry_after")
    return max(1, math.ceil(asked)) if isinstance(asked, int | float) else None


def _seconds_until(instant: datetime) -> int:
    return max(1, math.ceil((instant - clock.now()).total_seconds()))


def _limit_resets_in() -> int:
    resets = [
        limiter.current_limit.reset_at
        for limiter in current_app.extensions["limiter"]
        if limiter.current_limit
    ]
    return max(1, math.ceil(max(resets) - clock.now().timestamp())) if resets else 1


def _strip_retry_after(response: Response) -> Response:
    if response.status_code not in RETRY_AFTER_STATUSES:
        response.headers.pop("Retry-After", None)
    elif wanted := g.get("retry_after"):
        response.headers["Retry-After"] = wanted  # what we said, not when the rate's window ends
    return response
