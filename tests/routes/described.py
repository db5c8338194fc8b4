"""Holds what the app answers in a test against the document: each status must be described there."""

from __future__ import annotations

import re
from collections.abc import Collection

from flask import Flask, Response, request

from app.routes import openapi

_described: dict[tuple[str, str], Collection[str]] = {}


def watch(app: Flask) -> set[str]:
    """Return the answers that are not described, a set that fills as the app is asked."""
    surprises: set[str] = set()

    def look(response: Response) -> Response:
        if not _is_described(app, response.status_code):
            surprises.add(f"{request.method} {request.url_rule}: {response.status_code}")
        return response

    app.after_request(look)
    return surprises


def _is_described(app: Flask, status: int) -> bool:
    """Is it? What is our fault, 5xx, may stand under `default`; addresses that are not published are left out."""
    if request.url_rule is None:
        return True
    path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", request.url_rule.rule)
    method = "get" if request.method == "HEAD" else request.method.lower()
    known = _statuses(app).get((method, path))
    return known is None or str(status) in known or (status >= 500 and "default" in known)


def _statuses(app: Flask) -> dict[tuple[str, str], Collection[str]]:
    if not _described:  # once a process: all apps have the same routes
        for path, item in openapi.document(app)["paths"].items():
            for method in openapi.METHODS:
                if method in item:
                    _described[method, path] = item[method]["responses"].keys()
    return _described
