"""A token that cannot be renewed: what that means for whoever needs it, and who hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.exceptions import ErrorKind, PlatformAPIError
from app.logging_config import get_logger
from app.monitoring import capture_error

logger = get_logger(__name__)
_AS_THEY_ARE: frozenset[ErrorKind] = frozenset({"reauth", "rate", "transient"})


def as_trouble(error: PlatformAPIError, *, before: Mapping[str, Any] | None) -> PlatformAPIError:
    """Return a failed renewal as its callers may take it: unless the grant is dead, it passes.

    A platform that refuses this installation's own settings (a client secret changed there but not here) has
    said nothing about a post, and whoever runs the installation mends it. The log and Sentry tell them once:
    `before` is how the try before this one ended.
    """
    if error.kind in _AS_THEY_ARE:
        return error
    if before is None or before.get("kind") != error.kind:
        logger.error("tokens of %s cannot be renewed: %s", error.platform, error.message)
        capture_error(error)
    return PlatformAPIError(
        f"The connection cannot be renewed now, and we try again. {error.message}",
        error.details,
        platform=error.platform,
        kind="transient",
        platform_code=error.platform_code,
        retry_at=error.retry_at,
    )
