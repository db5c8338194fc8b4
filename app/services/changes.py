"""Writing changes over whoever works on the old: what they prepared is taken back and made anew.

A change works on copies and is written under conditions: the post's version as it was read, and states before
the intent. Whoever was faster wins, and the other is told.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import BEFORE_INTENT, RETRYABLE, WAITING, State
from app.exceptions import PreconditionFailedError, StateConflictError
from app.extensions import db
from app.models import Channel, Post, Target, Video
from app.services import planning, posts
from app.services.outcomes import AFRESH
from app.services.publishing import PREFLIGHT_AHEAD, effective_options, handle_lasts
from app.services.validation import Placed, effective_texts

POST_COLUMNS = (
    "title", "caption", "options", "fit", "labels", "details", "video_id", "scheduled_at", "timezone",
    "scheduled_local", "late_until",
)  # fmt: skip
TARGET_COLUMNS = ("due_at", "late_until", "next_at", "video_id", "content_hash", "if_over_quota")
OWN_COLUMNS = ("title", "caption", "options", "fit", "own_time")
States = Mapping[uuid.UUID, State]


# -- the copies


def copy(
    principal: Principal, post_id: uuid.UUID, version: int | None
) -> tuple[Post, dict[uuid.UUID, State]]:
    """Return the post and its targets as copies that may be changed, and the states they were found in."""
    post = posts.get(principal, post_id)
    db.session.expunge_all()
    if version is not None and version != post.version:
        raise PreconditionFailedError(details={"found": version, "version": post.version})
    return post, {target.id: target.state for target in post.targets}


def stand(post: Post, targets: Sequence[Target], principal: Principal) -> list[Placed]:
    channels = planning.owned(Channel, (target.channel_id for target in targets), principal)
    videos = planning.owned(Video, (post.video_id, *(target.video_id for target in targets)), principal)
    index = {target.id: number for number, target in enumerate(post.targets)}
    return [
        Placed(target, channels[target.channel_id], videos[target.video_id], f"targets.{index[target.id]}.")
        for target in targets
    ]


def content(post: Post, target: Target) -> tuple[Any, ...]:
    """Return all of a target that somebody at work on it may have taken note of, but its terms."""
    texts, options = effective_texts(post, target), effective_options(post, target)
    return (
        texts,
        options,
        post.fit if target.fit is None else target.fit,
        target.content_hash,
        target.state == "draft",
        target.video_id,
    )


def terms(target: Target) -> tuple[Any, ...]:
    """Return when a target goes out, and whether at all: an upload serves whatever they are."""
    return target.due_at, target.late_until, target.if_over_quota


def use_video(item: Placed) -> None:
    item.target.content_hash = item.video.content_hash


def set_times(
    post: Post, placed: Sequence[Placed], principal: Principal, late_until: str | None, *, now: datetime
) -> None:
    targets = [item.target for item in placed]
    patience = planning.late_after(principal.workspace_id)
    planning.set_lateness(post, targets, late_after=patience, text=late_until)
    for item in placed:
        target = item.target
        target.next_at = None if target.state == "draft" else planning.first_action(target, now=now)


# -- writing


def write_post(post: Post, *, version: int | None) -> None:
    """Write the post if nobody changed it since it was read.

    Raises PreconditionFailedError when the caller asked for this `version`, else StateConflictError.
    """
    columns = {getattr(Post, name): getattr(post, name) for name in POST_COLUMNS}
    written = db.session.execute(
        update(Post)
        .where(Post.id == post.id, Post.version == post.version)
        .values({**columns, Post.version: Post.version + 1})
        .execution_options(synchronize_session=False)
    )
    if not written.rowcount:  # type: ignore[attr-defined]
        db.session.rollback()
        if version is not None:
            raise PreconditionFailedError(details={"found": version})
        raise StateConflictError("It was changed at the same moment. Read it and try again.")


def write_targets(
    targets: Sequence[Target], was: States, columns: Sequence[str], *, same: Collection[uuid.UUID]
) -> None:
    """Write changed targets over whoever works on them.

    What they prepared is forgotten, but of `same`, whose content is as it was: what is uploaded for those serves.
    """
    kept = [target for target in targets if target.id in same and was[target.id] in WAITING]
    _reschedule(kept, was, columns)
    for values, group in _grouped([target for target in targets if target not in kept], was, columns):
        refs = [target.ref for target in group]
        wanted, old = group[0].state, was[group[0].id]
        if old in RETRYABLE or wanted == old == "draft":
            done = Target.take_back(refs, states={old}, **values)
        elif old == "draft":
            done = Target.move_many(
                refs, before={"draft"}, after="scheduled", fenced=False, **AFRESH, **values
            )
        else:
            done = _rewind(refs, values)
            if wanted == "draft":
                done &= Target.move_many(refs, before={"scheduled"}, after="draft", fenced=False)
        check_all_done(group, done)


def _reschedule(targets: Sequence[Target], was: States, columns: Sequence[str]) -> None:
    now = clock.now()
    for target in targets:
        if was[target.id] == "staged" and target.due_at is not None:
            if handle_lasts(target.handle_expires_at, target.due_at):
                target.next_at = max(now, target.due_at - PREFLIGHT_AHEAD)
            else:  # it is staged anew, with all the time that this may take
                target.next_at = planning.first_action(target, now=now)
    for values, group in _grouped(targets, was, columns):
        check_all_done(group, _put_off([target.ref for target in group], values))


def _put_off(refs: Sequence[Any], values: Mapping[str, Any]) -> set[uuid.UUID]:
    done = Target.take_back(refs, states={"scheduled", "staged"}, **values)
    return done | Target.move_many(refs, before={"staging"}, after="scheduled", fenced=False, **values)


def _rewind(refs: Sequence[Any], values: Mapping[str, Any]) -> set[uuid.UUID]:
    done = Target.take_back(refs, states={"scheduled"}, **AFRESH, **values)
    return done | Target.move_many(
        refs, before={"staging", "staged"}, after="scheduled", fenced=False, **AFRESH, **values
    )


def _grouped(
    targets: Sequence[Target], was: States, columns: Sequence[str]
) -> list[tuple[dict[str, Any], list[Target]]]:
    """Return targets that get the same values together, so that most posts need one statement."""
    groups: dict[str, tuple[dict[str, Any], list[Target]]] = {}
    for target in targets:
        values = {name: getattr(target, name) for name in columns}
        key = f"{was[target.id]}:{target.state}:{sorted(values.items(), key=lambda item: item[0])!r}"
        groups.setdefault(key, (values, []))[1].append(target)
    return list(groups.values())


def check_all_waiting(targets: Sequence[Target]) -> None:
    """Raise StateConflictError when one of these copies is beyond changing."""
    check_all_done(targets, {target.id for target in targets if target.state in BEFORE_INTENT})


def check_all_done(targets: Sequence[Target], done: set[uuid.UUID]) -> None:
    """Raise StateConflictError, and take everything back, when not all targets were found waiting."""
    lost = {target.id for target in targets} - done
    if lost:
        db.session.rollback()
        raise StateConflictError(
            "Too late: it is going out at this moment, or is out. Nothing was changed.",
            {"targets": sorted(str(id_) for id_ in lost), "allowed": sorted(BEFORE_INTENT)},
        )


def make_due(targets: Sequence[Target], was: States) -> None:
    for values, group in _grouped(targets, was, (*TARGET_COLUMNS, "own_time")):
        refs = [target.ref for target in group]
        done = _put_off(refs, values)
        drafts = [target.ref for target in group if was[target.id] == "draft"]
        done |= Target.move_many(drafts, before={"draft"}, after="scheduled", fenced=False, **values)
        check_all_done(group, done)
