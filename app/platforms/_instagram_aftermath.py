"""What follows a reel: its first comment, its figures, its removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.exceptions import PlatformAPIError
from app.platforms import _instagram_rules as rules
from app.platforms._instagram_api import MISSING, InstagramApi, flavour_of
from app.platforms._meta import text, whole
from app.platforms.base import (
    PlannedStep,
    PublishRequest,
    Stats,
    StepDone,
    StepNotDone,
    StepUnknown,
    with_defaults,
)

MAX_STATS = 10  # posts of one call; each costs a request


def plan(request: PublishRequest) -> Sequence[PlannedStep]:
    """Return the first comment if one was written."""
    message = with_defaults(rules.OPTIONS, request.options).get(rules.FIRST_COMMENT)
    if not isinstance(message, str) or not message.strip():
        return ()
    return (PlannedStep(rules.FIRST_COMMENT, {"text": message}),)


def comment(api: InstagramApi, media_id: str, step: PlannedStep) -> StepDone:
    """Write the comment, once. What leaves in doubt whether it is there is ambiguous."""
    _require(api, rules.COMMENT[flavour_of(api.account)])
    return StepDone({"id": api.comment(media_id, text(step.payload.get("text")))})


def find_comment(api: InstagramApi, media_id: str, step: PlannedStep) -> StepDone | StepNotDone | StepUnknown:
    """Look for a comment of the account itself with the same text."""
    wanted = text(step.payload.get("text")).split()
    same = [item for item in api.comments(media_id) if text(item.get("text")).split() == wanted]
    own = [item for item in same if text(item.get("username")).lower() == api.account.username.lower()]
    if own:
        return StepDone({"id": str(whole(own[0].get("id")) or "")})
    if any(not text(item.get("username")) for item in same):
        return StepUnknown("There is such a comment, but Instagram does not say whose it is.")
    return StepNotDone()


def stats(api: InstagramApi, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
    """Return the posts' figures, by insights where that was allowed, else likes and comments."""
    may_look = rules.INSIGHTS[flavour_of(api.account)] in api.account.scopes
    found: dict[str, Stats] = {}
    for remote_id in remote_ids[:MAX_STATS]:
        try:
            found[remote_id] = _insights(api, remote_id) if may_look else _counts(api, remote_id)
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise
    return found


def _insights(api: InstagramApi, remote_id: str) -> Stats:
    told = api.insights(remote_id)
    if not told:
        return _counts(api, remote_id)
    return Stats(
        views=_count(told.get("views")),
        likes=_count(told.get("likes")),
        comments=_count(told.get("comments")),
        shares=_count(told.get("shares")),
        saves=_count(told.get("saved")),
        reach=_count(told.get("reach")),
        watch_seconds=_seconds(told.get("ig_reels_video_view_total_time")),
        average_watch_seconds=_seconds(told.get("ig_reels_avg_watch_time")),
        more={"total_interactions": _count(told.get("total_interactions"))},
    )


def _counts(api: InstagramApi, remote_id: str) -> Stats:
    told = api.counts(remote_id)
    return Stats(likes=_count(told.get("like_count")), comments=_count(told.get("comments_count")))


def remove(api: InstagramApi, remote_id: str) -> None:
    """Delete a reel. Only Facebook Login can, with a permission of its own."""
    if flavour_of(api.account) != rules.FACEBOOK:
        message = (
            "Instagram deletes posts only for accounts connected through Facebook. Delete it in the app."
        )
        raise PlatformAPIError(message, platform="instagram", kind="config")
    _require(api, rules.REMOVE)
    try:
        api.delete(remote_id)
    except PlatformAPIError as error:
        if error.platform_code not in MISSING:
            raise


def _require(api: InstagramApi, scope: str) -> None:
    """Raise kind config when a permission was not given; the connection itself is sound."""
    if scope not in api.account.scopes:
        message = (
            f"This needs the permission {scope}, which was not given. Reconnect the channel and allow it."
        )
        raise PlatformAPIError(message, {"missing": scope}, platform="instagram", kind="config")


def _count(value: Any) -> int | None:
    found = whole(value)
    return found if found is not None and found >= 0 else None


def _seconds(milliseconds: Any) -> float | None:
    found = milliseconds if isinstance(milliseconds, float) else _count(milliseconds)
    return None if found is None or not 0 <= found < 1e15 else found / 1000
