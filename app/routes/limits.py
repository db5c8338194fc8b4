"""How often one may ask: everybody by the API's rate, and fewer times where a password is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from flask import Flask, g, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from app.config import Settings
from app.extensions import limiter, redis_client, settings
from app.security import hash_secret

INVITATIONS = "30 per hour"  # of one person: each may send a mail to whom they like, in the operator's name
KNOWN_SECONDS = 90 * 24 * 3600  # how long an address is remembered after a login from it
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
    limited: View = by_person(by_address(view))  # the inner one is looked at first, and reads no body
    return limited


def inviting(view: View) -> View:
    """Limit how often a person may have strangers written to."""
    limited: View = limiter.limit(INVITATIONS, key_func=lambda: f"inviting-{g.principal.user_id}")(view)
    return limited


def _login_limit() -> str:
    return settings().login_rate_limit


def know_address(email: str) -> None:
    """Remember that this person has logged in from this address, so that no stranger's tries keep them out of it.

    Redis may be away or forget it: then they share the strangers' count again.
    """
    with suppress(RedisError):
        redis_client().set(_known_address(email), "1", ex=KNOWN_SECONDS)


def _known_address(email: str) -> str:
    pair = hash_secret(f"{settings().secret_key} {_same(email)} {request.remote_addr}")
    return f"{settings().queue_prefix}:login-known:{pair}"


def _is_known(email: str) -> bool:
    with suppress(RedisError):
        return bool(redis_client().exists(_known_address(email)))
    return False


def _same(email: object) -> str:
    return str(email).strip().lower()


def _address() -> str:
    return f"login-address:{request.remote_addr}"


def _person() -> str:
    """Return whose password is tried: the caller's, else that of the address in the body, else nobody's.

    All strangers together have one count for a person, so that many addresses guess no faster than one. Where the
    person has logged in before has a count of its own: else anybody could lock anybody out.
    """
    if g.get("principal") is not None:
        return f"login-{g.principal.name}"
    try:
        body = request.get_json(silent=True) or request.form
    except HTTPException:  # too long, or no form at all: the view says so
        body = None
    email = body.get("email") if isinstance(body, Mapping) else None
    if not email:
        return f"login-nobody:{request.remote_addr}"
    if _is_known(_same(email)):
        return _known_address(_same(email))
    return f"login-email:{hash_secret(_same(email))}"
