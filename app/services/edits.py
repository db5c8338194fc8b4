"""Changing what has not gone out yet, validated like a new post. How it is written is in `changes`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app import clock
from app.domain import schedule
from app.domain.principal import Principal
from app.domain.target_state import BEFORE_INTENT, RETRYABLE, WAITING
from app.exceptions import StateConflictError, ValidationError
from app.models import Event, Post, Target
from app.services import changes, destinations, planning, posts, renditions, repost
from app.services.changes import OWN_COLUMNS, TARGET_COLUMNS
from app.services.idempotency import Remember, forget
from app.services.planning import PostInput, TargetInput
from app.services.validation import Placed, check

HARMLESS = frozenset({"labels", "metadata"})  # may change at any time: no platform sees them


# -- a post


def edit_post(
    principal: Principal, post_id: uuid.UUID, given: PostInput, *, version: int | None = None
) -> Post:
    """Change a post while its targets wait. `version`: only if the post still has it.

    Raises PreconditionFailedError for another version, StateConflictError once something has gone out or when
    somebody changed it at the same moment, and what making a post raises.
    """
    post, was = changes.copy(principal, post_id, version)
    now = clock.now()
    if given.keys() <= HARMLESS:
        _apply_words(post, given)
        changes.write_post(post, version=version)
        return posts.finish(post_id)
    planning.check_options(given.get("options") or {})
    left = destinations.leaving(post, given.get("remove_targets") or ())
    placed = _place(post, given, principal, left)
    before = _all_of(post, placed)
    _apply_words(post, given)
    _apply_time(post, placed, given, now=now)
    if given.get("late_until", "") is None:
        post.late_until = None
    joined = destinations.joining(post, given, principal, without=left, now=now)
    new = [item.target for item in joined]
    changes.set_times(post, [*placed, *joined], principal, given.get("late_until"), now=now)
    after = _all_of(post, placed)
    changed = [item.target for item in placed if after[item.target.id] != before[item.target.id]]
    same = {id_ for id_, (content, _) in after.items() if content == before[id_][0]}
    if any(target.state != "draft" for target in changed):
        principal.check(role="editor", scope="publish")  # what is said in public is decided here
    check(post, [*placed, *joined])
    repost.check([target for target in (*changed, *new) if target.state != "draft"])
    changes.write_post(post, version=version)
    destinations.cancel(left)
    changes.write_targets(changed, was, TARGET_COLUMNS, same=same)
    destinations.add(post, new)
    _tell(post, given)
    return _close(post_id)


def _tell(post: Post, given: PostInput) -> None:
    Event.record(
        "post.updated", workspace_id=post.workspace_id, post_id=post.id, subject_id=post.id,
        data={"changed": sorted(given)},
    )  # fmt: skip


Contents = dict[uuid.UUID, tuple[Any, Any]]


def _all_of(post: Post, placed: Sequence[Placed]) -> Contents:
    return {
        item.target.id: (changes.content(post, item.target), changes.terms(item.target)) for item in placed
    }


def _place(post: Post, given: PostInput, principal: Principal, left: Sequence[Target]) -> list[Placed]:
    """Return the targets that still wait and stay. Raises StateConflictError when others are beyond changing."""
    waiting = [target for target in post.targets if target.state in BEFORE_INTENT]
    beyond = [t for t in post.targets if t.state not in BEFORE_INTENT | RETRYABLE | {"cancelled"}]
    if beyond or not waiting:
        raise posts.too_late(post)
    old, new = post.video_id, given.get("video_id")
    if new is not None:
        post.video_id = new
        for target in waiting:
            target.video_id = new if target.video_id == old else target.video_id
    return changes.stand(post, [target for target in waiting if target not in left], principal)


def _apply_words(post: Post, given: PostInput) -> None:
    for name in ("title", "caption", "options", "labels"):
        if given.get(name) is not None:
            setattr(post, name, given[name])
    if "fit" in given:
        post.fit = given["fit"]
    if given.get("metadata") is not None:
        post.details = given["metadata"]
    if given.get("if_over_quota") is not None:
        for target in post.targets:
            target.if_over_quota = given["if_over_quota"]


def _apply_time(post: Post, placed: Sequence[Placed], given: PostInput, *, now: datetime) -> None:
    for item in placed:
        changes.use_video(item)
    when = planning.read_time(given, now=now)
    if when is None and given.get("timezone"):
        raise ValidationError(
            details={"timezone": ["Send it with the scheduled_at or scheduled_local it is for."]}
        )
    if when is not None:
        post.scheduled_at, post.timezone, post.scheduled_local = when.at, when.timezone, when.local
    elif given.get("draft"):
        post.scheduled_at = post.timezone = post.scheduled_local = None
    if when is None and "draft" not in given:
        return
    for item in placed:
        _apply_time_to(item, post, now=now, is_draft=bool(given.get("draft")))


def _apply_time_to(item: Placed, post: Post, *, now: datetime, is_draft: bool) -> None:
    target, was_draft = item.target, item.target.state == "draft"
    target.due_at = target.due_at if target.own_time else post.scheduled_at
    target.state = "draft" if is_draft else "scheduled"
    if is_draft:
        return
    if target.due_at is None:
        raise schedule.contradiction([])
    if was_draft and target.own_time:
        schedule.check_reach(target.due_at, now=now, field=f"{item.prefix}scheduled_at")


# -- one target


def edit_target(
    principal: Principal, target_id: uuid.UUID, given: TargetInput, *, version: int | None = None
) -> Target:
    """Change one target while it waits, or the words of one that failed before it is tried again.

    `version` is the post's. A time of None puts the target back to the post's.
    """
    found = Target.get_owned(target_id, workspace_id=principal.workspace_id)
    post, was = changes.copy(principal, found.post_id, version)
    target = next(item for item in post.targets if item.id == target_id)
    _check_editable(target, given)
    if target.state in WAITING:
        principal.check(role="editor", scope="publish")  # what is said in public is decided here
    now, before = clock.now(), changes.content(post, target)
    for name in ("title", "caption", "options", "fit"):
        if name in given:
            setattr(target, name, given[name])
    target.video_id = given.get("video_id") or target.video_id
    (item,) = changes.stand(post, [target], principal)
    item = Placed(item.target, item.channel, item.video)
    changes.use_video(item)
    if target.state in BEFORE_INTENT:
        _apply_own_time(post, target, given, now=now)
        changes.set_times(post, [item], principal, None, now=now)
    check(post, [item])
    if target.state not in RETRYABLE | {"draft"}:
        repost.check([target])
    changes.write_post(post, version=version)
    same = {target_id} if changes.content(post, target) == before else set()
    changes.write_targets([target], was, TARGET_COLUMNS + OWN_COLUMNS, same=same)
    Event.record(
        "target.updated", workspace_id=post.workspace_id, post_id=post.id, target_id=target.id,
        subject_id=target.id, data={"changed": sorted(given)},
    )  # fmt: skip
    written: Target = next(item for item in _close(post.id).targets if item.id == target_id)
    return written


def _check_editable(target: Target, given: TargetInput) -> None:
    allowed = BEFORE_INTENT | RETRYABLE
    if target.state not in allowed:
        raise StateConflictError(
            f"This target is {target.state}; it can be changed only before it goes out.",
            {"state": target.state, "allowed": sorted(allowed)},
        )
    if target.state in RETRYABLE and "scheduled_at" in given:
        raise StateConflictError(
            f"This target is {target.state}. Give its new time to /retry.", {"state": target.state}
        )


def _apply_own_time(post: Post, target: Target, given: TargetInput, *, now: datetime) -> None:
    if "scheduled_at" not in given:
        return
    text = given["scheduled_at"]
    target.own_time = text is not None
    target.due_at = schedule.from_instant(text, now=now).at if text is not None else post.scheduled_at
    if target.due_at is None and target.state != "draft":
        raise schedule.contradiction([])


# -- now


def publish_now(principal: Principal, post_id: uuid.UUID, *, remember: Remember = forget) -> Post:
    """Make everything of a post that still waits due at once. What is uploaded already stays uploaded."""
    post, was = changes.copy(principal, post_id, None)
    waiting = [target for target in post.targets if target.state in BEFORE_INTENT]
    if not waiting:
        raise posts.too_late(post)
    now = clock.now()
    post.scheduled_at, post.timezone, post.scheduled_local = now, None, None
    post.late_until = None if post.late_until is None or post.late_until <= now else post.late_until
    placed = changes.stand(post, waiting, principal)
    for target in waiting:
        target.due_at, target.own_time, target.state = now, False, "scheduled"
    changes.set_times(post, placed, principal, None, now=now)
    check(post, placed)
    repost.check(waiting)
    changes.write_post(post, version=None)
    changes.make_due(waiting, was)
    return _close(post_id, remember=remember)


def _close(post_id: uuid.UUID, *, remember: Remember = forget) -> Post:
    renditions.assign(Target.post_id == post_id)
    Target.reckon_holds(Target.post_id == post_id)
    return posts.finish(post_id, remember=remember)
