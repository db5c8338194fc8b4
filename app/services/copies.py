"""Posts made from posts: a duplicate to work on, and a repost of what went out."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, TypedDict, cast

from app import clock
from app.domain.principal import Principal
from app.exceptions import ValidationError
from app.models import Post, Target
from app.services import planning, posts, repost
from app.services.idempotency import Remember, forget
from app.services.planning import PostInput, TargetInput

SHARED = ("title", "caption", "options", "fit", "labels")


class RepostInput(TypedDict, total=False):
    """When to post again, and what to say this time; what is absent is as it was."""

    scheduled_at: str | None
    scheduled_local: str | None
    timezone: str | None
    publish_now: bool
    at_next_allowed: bool
    title: str | None
    caption: str | None
    channel_ids: list[uuid.UUID] | None
    late_until: str | None
    if_over_quota: str


def duplicate(principal: Principal, post_id: uuid.UUID, *, remember: Remember = forget) -> Post:
    """Make a draft with the same video, words, options and channels; it has no time yet.

    Channels that were taken off stay off; of a post that was cancelled as a whole all come back.
    """
    post = posts.get(principal, post_id)
    return posts.create(
        _copy(post, _kept(post) or post.targets) | {"draft": True}, principal, remember=remember
    )


def repost_post(
    principal: Principal, post_id: uuid.UUID, given: RepostInput, *, remember: Remember = forget
) -> Post:
    """Post again, on all channels of the post that were not taken off, or on those that are named.

    With `at_next_allowed` each channel has the first time that keeps 24 hours from the same content. Raises
    RepostTooSoonError for an earlier time, and what making a post raises.
    """
    post = posts.get(principal, post_id)
    chosen = _chosen(post, given.get("channel_ids"))
    asked = _copy(post, chosen)
    for name in ("title", "caption"):
        if given.get(name) is not None:
            asked[name] = given[name]
            for item in asked["targets"]:
                item.pop(name, None)  # type: ignore[misc]
    for name in ("scheduled_at", "scheduled_local", "timezone", "publish_now", "late_until", "if_over_quota"):
        if name in given:
            asked[name] = given[name]  # type: ignore[literal-required]
    if given.get("at_next_allowed"):
        _set_next_allowed(asked, chosen)
    return posts.create(asked, principal, remember=remember)


def _chosen(post: Post, channel_ids: Collection[uuid.UUID] | None) -> list[Target]:
    if not channel_ids:
        kept = _kept(post)
        if not kept:
            raise ValidationError(
                details={"channel_ids": ["All of this post was cancelled. Name the channels."]}
            )
        return kept
    unknown = set(channel_ids) - {target.channel_id for target in post.targets}
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise ValidationError(details={"channel_ids": [f"This post did not go to {names}."]})
    return [target for target in post.targets if target.channel_id in set(channel_ids)]


def _kept(post: Post) -> list[Target]:
    return [target for target in post.targets if target.state != "cancelled"]


def _copy(post: Post, targets: Sequence[Target]) -> PostInput:
    shared: dict[str, Any] = {name: getattr(post, name) for name in SHARED}
    return cast(
        PostInput,
        shared
        | {
            "video_id": post.video_id,
            "metadata": post.details,
            "if_over_quota": targets[0].if_over_quota,
            "targets": [_copy_target(post, target) for target in targets],
        },
    )


def _copy_target(post: Post, target: Target) -> TargetInput:
    copied: TargetInput = {"channel_id": target.channel_id, "options": dict(target.options)}
    if target.video_id != post.video_id:
        copied["video_id"] = target.video_id
    if target.title is not None:
        copied["title"] = target.title
    if target.caption is not None:
        copied["caption"] = target.caption
    if target.fit is not None:
        copied["fit"] = target.fit
    return copied


def _set_next_allowed(asked: PostInput, chosen: Sequence[Target]) -> None:
    said = [name for name in planning.TIMES if asked.get(name)]
    if said:
        problem = f"Leave {', '.join(said)} out: at_next_allowed says when."
        raise ValidationError(details={"at_next_allowed": [problem]})
    times = repost.next_allowed(chosen, wanted=clock.now() + repost.MARGIN)
    for item in asked["targets"]:
        item["scheduled_at"] = clock.isoformat(times[item["channel_id"]])
