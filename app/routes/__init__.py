"""The HTTP layer: one blueprint a noun, found rather than listed, and what all answers share."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import flask_smorest
from flask import Blueprint, Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Settings
from app.routes import base, crowding, headers, limits, openapi, overriding

ABOUT = """\
Send `Authorization: Bearer` with an API key (`vsk_...`) or an access token of `POST /auth/login`. A key opens the
workspace it was made in; with a login `X-Workspace-Id` chooses the workspace, else it is your own. A workspace
that is not yours looks like one that does not exist.

Bodies are JSON unless said otherwise. Times carry an offset and are answered in UTC. Lists come in pages: give
`pagination.next_cursor` back as `cursor`. `X-RateLimit-*` say how often you may still ask; `Retry-After` how
many seconds to wait after 429 or 503. `X-Request-Id` is echoed and stands in our logs.
"""


MAX_JSON_DEPTH = 100


class StrictJson(DefaultJSONProvider):
    """JSON as RFC 8259 has it: NaN, Infinity and bottomless nesting are broken bodies, not bugs of ours."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            value = json.loads(s, parse_constant=_refuse_constant, parse_float=_finite, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if _is_too_deep(value):
            raise ValueError("nested too deeply")
        return value


def _is_too_deep(value: Any) -> bool:
    """Is there more nesting than what walks it later can stand?"""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [item for node in level if isinstance(node, dict | list) for item in _inside(node)]
        if not level:
            return False
    return True


def _inside(node: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return the number, unless it is so large that Python takes it for Infinity, which nobody could read again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def init_app(app: Flask, settings: Settings) -> None:
    """Register every blueprint of this package and what goes before and after each view."""
    app.json = StrictJson(app)
    _trust_proxies(app, settings.trusted_proxies)
    app.wsgi_app = overriding.MethodOverride(app.wsgi_app)  # type: ignore[method-assign]
    headers.init_app(app, settings)
    crowding.init_app(app, settings)
    app.before_request(base.identify)
    limits.init_app(app, settings)
    app.config["API_SPEC_OPTIONS"] = {
        "info": {"description": ABOUT},
        "servers": [{"url": settings.public_url.rstrip("/")}],
    }
    api = openapi.DocumentedApi(app)
    base.describe_security(api)
    for blueprint in blueprints():
        register = api if isinstance(blueprint, flask_smorest.Blueprint) else app
        register.register_blueprint(blueprint)


def blueprints() -> Iterator[Blueprint]:
    """Return the variable `blp` of each module of this package that has one, by name of module."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        blueprint = getattr(importlib.import_module(f"{__name__}.{module.name}"), "blp", None)
        if blueprint is not None:
            yield blueprint


def _trust_proxies(app: Flask, count: int) -> None:
    """Believe X-Forwarded-* of exactly so many proxies: one more and anybody could choose their address."""
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_port=count
        )
