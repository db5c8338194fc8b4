"""The app's registry of platforms, wired to its settings, its metrics and the request id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from flask import Flask, current_app

from app.config import ConfigError, Settings
from app.logging_config import current_context, get_logger
from app.monitoring import track_platform_api_call
from app.platforms._transport import tls_context
from app.platforms.http import Call
from app.platforms.registry import Registry

logger = get_logger(__name__)
MAX_NOTED = 20  # of a staging with hundreds of chunks the first calls are enough
_noted: ContextVar[list[dict[str, Any]] | None] = ContextVar("noted_calls", default=None)


def init_app(app: Flask, settings: Settings) -> None:
    """Build every adapter from the settings. Raises ConfigError for values an adapter cannot use."""
    try:
        app.extensions["platforms"] = Registry(
            settings.platforms,
            public_url=settings.public_url,
            on_call=_note,
            request_id=lambda: current_context().get("request_id"),
            sandbox_allowed=not settings.is_production,
            pace=settings.protocol_pace,
        )
    except ValueError as fault:
        raise ConfigError([str(fault)]) from None


@contextmanager
def noting_calls() -> Iterator[list[dict[str, Any]]]:
    """Yield a list that fills with the calls this thread makes inside: operation, status, both sides' ids."""
    noted: list[dict[str, Any]] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def registry() -> Registry:
    """Return the app's platforms."""
    return cast(Registry, current_app.extensions["platforms"])


def load_authorities() -> None:
    """Load the authorities that vouch for platforms now rather than at the first call of each forked process."""
    tls_context()


def _note(call: Call) -> None:
    """Count and log one call to a platform, and keep its ids for the ledger; nothing of it is a URL."""
    noted = _noted.get()
    if noted is not None and len(noted) < MAX_NOTED:
        noted.append(
            {
                "operation": call.operation,
                "status": call.status,
                "request_id": call.request_id,
                "platform_log_id": call.platform_log_id,
            }
        )
    status = "error" if call.error or call.status is None or call.status >= 400 else "success"
    track_platform_api_call(
        platform=call.platform, operation=call.operation, status=status, duration=call.duration
    )
    logger.info(
        "called %s %s",
        call.platform,
        call.operation,
        extra={
            "status": call.status,
            "ms": round(call.duration * 1000),
            "platform_request_id": call.request_id,
            "platform_log_id": call.platform_log_id,
            "error": call.error,
        },
    )
