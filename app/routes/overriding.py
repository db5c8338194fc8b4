"""X-HTTP-Method-Override, which tus 1.0.0 wants of a server: for clients whose browser or proxy lets no PATCH through.

It is honoured only for POST to one upload's address, where there is no POST, and before anything else sees the
request: whoever may do what, how often, and what is counted goes by the method that was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from app.routes.base import API_PREFIX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = ("PATCH", "DELETE", "HEAD")
_UPLOAD = re.compile(rf"{API_PREFIX}/uploads/[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}")


class MethodOverride:
    """A WSGI application whose requests have the method that was meant."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        meant = _meant(environ)
        if meant is None:
            return self._app(environ, start_response)
        if meant == "HEAD":
            start_response = _without_body(start_response)
        return self._app({**environ, "REQUEST_METHOD": meant}, start_response)


def _meant(environ: WSGIEnvironment) -> str | None:
    """Return the method a request is to have instead of its own, None when it is to keep that."""
    if environ["REQUEST_METHOD"] != "POST":
        return None
    named = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").strip().upper()
    return named if named in METHODS and _UPLOAD.fullmatch(environ.get("PATH_INFO", "")) else None


def _without_body(start_response: StartResponse) -> StartResponse:
    """Say that no body follows: to the server it was POST, so the length HEAD speaks of would be waited for."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        return start_response(status, [*kept, ("Content-Length", "0")], *rest)

    return start
