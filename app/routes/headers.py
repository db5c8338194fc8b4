"""What every answer carries for the browser's sake, and which other sites may call us from one."""

from __future__ import annotations

import secrets
from functools import partial

from flask import Flask, Response, g, request

from app.config import Settings
from app.routes.base import API_PREFIX

PREFLIGHT_SECONDS = 600
REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, "
    "Tus-Resumable, Upload-Checksum, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, "
    "Upload-Offset, X-API-Key, X-Filename, X-HTTP-Method-Override, X-Request-Id, X-Workspace-Id"
)
ANSWER_HEADERS = (
    "Content-Range, ETag, Idempotency-Replayed, Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, "
    "Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
)
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def init_app(app: Flask, settings: Settings) -> None:
    """Add the headers to every answer, errors included. A view's own header wins."""
    secure = settings.public_url.startswith("https://")
    # First in the list runs last, so that what others set is seen here.
    hooks = app.after_request_funcs.setdefault(None, [])
    hooks.insert(0, partial(_protect, secure=secure))
    if settings.cors_origins:
        hooks.insert(0, partial(_share, origins=frozenset(settings.cors_origins)))
    app.jinja_env.globals["csp_nonce"] = csp_nonce


def csp_nonce() -> str:
    """Return this answer's nonce: `<style nonce="...">` is the only inline style a page may have."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _protect(response: Response, *, secure: bool) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Content-Security-Policy", _content_policy(response))
    if secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.path.startswith(API_PREFIX):
        headers.setdefault("Cache-Control", "no-store")
    return response


def _content_policy(response: Response) -> str:
    policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    if response.mimetype != "text/html":
        return policy
    return (
        f"{policy}; style-src 'nonce-{csp_nonce()}'; img-src 'self' data: https:; "
        "media-src 'self'; form-action 'self'"
    )


def _share(response: Response, *, origins: frozenset[str]) -> Response:
    """Let pages of the configured origins read our answers (CORS). Cookies are never included."""
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is None or not origins & {origin, "*"}:
        return response
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = ANSWER_HEADERS
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response
