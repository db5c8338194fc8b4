"""How often one may ask: everybody by the API's rate, and fewer times where a password is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, g, request

from app.config import Settings
from app.extensions import limiter, settings
from app.security import hash_secret

View = Callable[..., Any]


def init_app(app: Flask, config: Settings) -> None:
    """Count requests to the API; health, metrics and pages are not counted.

    Must come after `base.identify`, which says whose request it is. Without Redis each process counts alone.
    """
    app.config["RATELIMIT_APPLICATION"] = _api_limit
    app.config["RATELIMIT_APPLICATION_EXEMPT_WHEN"] = _is_not_counted
    if config.redis_url:
        app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    limiter.init_app(app)


def _api_limit() -> str:
    return settings().api_rate_limit


def _is_not_counted() -> bool:
    return g.get("rate_key") is None


def throttled(view: View) -> View:
    """Limit tries at a password, by address and by person, before anything is hashed."""
    by_address = limiter.limit(_login_limit, key_func=_address)
    by_person = limiter.limit(_login_limit, key_func=_person)
    limited: View = by_address(by_person(view))
    return limited


def _login_limit() -> str:
    return settings().login_rate_limit


def _address() -> str:
    return f"login-address:{request.remote_addr}"


def _person() -> str:
    """Return whose password is tried: the caller's, else that of the address in the body, else nobody's."""
    if g.get("principal") is not None:
        return f"login-{g.principal.name}"
    body = request.get_json(silent=True) or request.form
    email = body.get("email") if isinstance(body, Mapping) else None
    return (
        f"login-email:{hash_secret(str(email).strip().lower())}"
        if email
        else f"login-nobody:{request.remote_addr}"
    )
