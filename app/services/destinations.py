"""Which channels a post goes to, changed after it was made: targets added like those of a new post, or cancelled.

Part of an edit (see `edits`): nothing here commits, and what waits is found on copies.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.domain import schedule
from app.domain.principal import Principal
from app.domain.target_state import BEFORE_INTENT
from app.exceptions import ResourceNotFoundError, ValidationError
from app.extensions import db
from app.models import Channel, Event, Post, Target, Video
from app.services import changes, planning
from app.services.outcomes import NO_HANDLE
from app.services.planning import PostInput
from app.services.validation import Placed

MOST = 50  # targets of a post that are not cancelled


def leaving(post: Post, ids: Collection[uuid.UUID]) -> list[Target]:
    """Return the targets that are to be cancelled; those that are already are left out.

    Raises ResourceNotFoundError for a target of another post, StateConflictError once one has gone out.
    """
    known = {target.id: target for target in post.targets}
    for id_ in ids:
        if id_ not in known:
            raise ResourceNotFoundError(resource_type="Target", resource_id=id_)
    found = [known[id_] for id_ in dict.fromkeys(ids) if known[id_].state != "cancelled"]
    changes.check_all_waiting(found)
    return found


def joining(
    post: Post, given: PostInput, principal: Principal, *, without: Collection[Target], now: datetime
) -> list[Placed]:
    """Return the targets that are to be added, unstored, as `planning.plan` would make them.

    They take the post's time, or are drafts like it, unless they have a time of their own. Raises what making
    a post raises, and AuthorizationError when they would go out and the caller may not let anything.
    """
    wanted = given.get("add_targets") or []
    if not wanted:
        return []
    _check_new(post, [item["channel_id"] for item in wanted], leaving=len(without))
    is_draft = _is_draft(post, given)
    if not is_draft:
        principal.check(role="editor", scope="publish")
    ids = [item["channel_id"] for item in wanted]
    channels = planning.owned(Channel, ids, principal)
    videos = planning.owned(Video, (post.video_id, *(item.get("video_id") for item in wanted)), principal)
    spoken = _spoken(post, videos) | {"targets": wanted, "draft": is_draft}
    placed = [
        planning.placed(post, spoken, index, channels[id_], videos, now=now, prefix=f"add_targets.{index}.")
        for index, id_ in enumerate(ids)
    ]
    for item in placed:
        item.target.if_over_quota = given.get("if_over_quota") or post.targets[0].if_over_quota
        _check_time(item, now=now)
    return placed


def _check_new(post: Post, channel_ids: Sequence[uuid.UUID], *, leaving: int) -> None:
    have = {target.channel_id: target for target in post.targets}
    details: dict[str, list[str]] = {}
    for index, id_ in enumerate(channel_ids):
        if id_ in channel_ids[:index]:
            details[f"add_targets.{index}.channel_id"] = ["This channel is named twice. Remove one."]
        elif id_ in have and have[id_].state == "cancelled":
            problem = (
                "The target of this post on this channel was cancelled, which is final. Duplicate the post."
            )
            details[f"add_targets.{index}.channel_id"] = [problem]
        elif id_ in have:
            problem = f"The post goes to this channel already. Change its target, {have[id_].id}."
            details[f"add_targets.{index}.channel_id"] = [problem]
    found = sum(target.state != "cancelled" for target in post.targets) - leaving + len(channel_ids)
    if found > MOST:
        details["add_targets"] = [f"The post would have {found} targets; at most {MOST} are possible."]
    if details:
        raise ValidationError(details=details)


def _is_draft(post: Post, given: PostInput) -> bool:
    """Will the post be a draft once the edit is made?"""
    if any(given.get(name) for name in planning.TIMES if name != "draft"):
        return False
    return bool(given.get("draft", post.status == "draft"))


def _spoken(post: Post, videos: Mapping[uuid.UUID, Video]) -> PostInput:
    """Return the words that were given for the whole post: for what is added with a video of its own."""
    video = videos.get(post.video_id) if post.video_id else None
    of_video: dict[str, Any] = {
        "title": video.title if video else None,
        "caption": video.description if video else None,
    }
    said: Any = {name: getattr(post, name) for name in of_video if getattr(post, name) != of_video[name]}
    given: PostInput = said
    return given


def _check_time(item: Placed, *, now: datetime) -> None:
    target = item.target
    if target.state == "draft":
        return
    if target.due_at is None:
        raise schedule.contradiction([])
    if not target.own_time and target.due_at != now:
        schedule.check_reach(target.due_at, now=now, field=f"{item.prefix}scheduled_at")


# -- writing


def cancel(targets: Sequence[Target]) -> None:
    """Cancel what leaves. Raises StateConflictError when one goes out at this moment."""
    done = Target.move_many(
        [target.ref for target in targets], before=BEFORE_INTENT, after="cancelled", fenced=False,
        next_at=None, hold=None, hold_until=None, **NO_HANDLE,
    )  # fmt: skip
    changes.check_all_done(targets, done)


def add(post: Post, targets: Sequence[Target]) -> None:
    """Store what joins and tell of it; the post's row must be locked, as `changes.write_post` leaves it."""
    if not targets:
        return
    db.session.add_all(targets)
    db.session.flush()
    Post.refresh_status([post.id])
    Event.record_many("target.scheduled", [target.ref for target in targets if target.state == "scheduled"])
