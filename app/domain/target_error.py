"""What a target shows as its error: the envelope's inner object, and what the person can do about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.exceptions import KIND_POLICY, ErrorAction, ErrorKind


def target_error(
    code: str,
    message: str,
    *,
    platform: str,
    kind: ErrorKind,
    action: ErrorAction | None = None,
    details: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the error in the shape of `PlatformAPIError.to_dict`, for troubles no platform told us of."""
    retryable, usual = KIND_POLICY[kind]
    return {
        "code": code,
        "message": message,
        "details": details or {},
        "platform": platform,
        "platform_code": None,
        "kind": kind,
        "retryable": retryable,
        "retry_at": None,
        "action": action or usual,
    }


def missed(platform: str) -> dict[str, Any]:
    """Return the error of a target that could not go out in time."""
    message = (
        "This could not be published before the latest time you allow, so it was not published late. "
        "Give it a new time or publish it now."
    )
    return target_error("MISSED", message, platform=platform, kind="content")


def unknown(platform: str, reason: str) -> dict[str, Any]:
    """Return the error of a target nobody can tell the outcome of."""
    message = f"{reason} Look at the account and say whether the post is there."
    return target_error("OUTCOME_UNKNOWN", message, platform=platform, kind="ambiguous")


def awaiting_user(platform: str, message: str, deadline: datetime) -> dict[str, Any]:
    """Return what a target shows that its account's owner must finish: what to do, and until when."""
    details = {"deadline": deadline.isoformat()}
    return target_error("AWAITING_USER", message, platform=platform, kind="account", details=details)


def expired(platform: str) -> dict[str, Any]:
    """Return the error of a draft that its owner did not finish in the platform's own app."""
    message = "Nobody finished the post in the platform's own app in time."
    return target_error("EXPIRED", message, platform=platform, kind="account")


def removed_by_user(platform: str) -> dict[str, Any]:
    """Return what a target shows whose post was deleted through us: nothing is wrong, nothing is to be done."""
    message = "The post was deleted at the platform because somebody of the workspace asked for it."
    return target_error("REMOVED_BY_USER", message, platform=platform, kind="content") | {"action": None}


def given_up(platform: str) -> dict[str, Any]:
    """Return the error of a target over which worker after worker died."""
    message = (
        "Our workers died over this target several times. An administrator finds the reason in the logs."
    )
    return target_error("INTERNAL_ERROR", message, platform=platform, kind="config")
