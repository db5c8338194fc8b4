"""Targets: what a person may do with a single one. Editing is in `edits`, the list in `worklist`."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import joinedload, selectinload

from app import clock
from app.domain import schedule
from app.domain.principal import Principal
from app.domain.target_error import target_error
from app.domain.target_state import BEFORE_INTENT, RETRYABLE, WAITING, State
from app.exceptions import ResourceNotFoundError, StateConflictError, ValidationError, VideoValidationError
from app.extensions import db
from app.models import Attempt, Channel, ChannelContent, Post, Rendition, Target, Video
from app.models.base import JsonObject
from app.models.page import Page, paginate
from app.queue import wake_dispatcher
from app.services import fits, planning, quotas, renditions, repost, steps, warnings
from app.services.idempotency import Remember, forget
from app.services.outcomes import AFRESH, NO_HANDLE
from app.services.validation import Placed, check

WHOLE = (  # what is shown of a target
    joinedload(Target.channel),
    joinedload(Target.post).load_only(Post.version, Post.late_until),
    joinedload(Target.rendition).joinedload(Rendition.video),
    selectinload(Target.steps),
)


# -- finding


def get(principal: Principal, target_id: uuid.UUID) -> Target:
    """Return a target with its channel. Raises ResourceNotFoundError."""
    return _load(select(Target).where(Target.workspace_id == principal.workspace_id), target_id)


def show(principal: Principal, target_id: uuid.UUID) -> Target:
    """Return a target with what is to be warned of. Raises ResourceNotFoundError."""
    found = get(principal, target_id)
    warnings.attach([found])
    return found


def _load(query: Select[Target], target_id: uuid.UUID) -> Target:
    query = query.where(Target.id == target_id).options(*WHOLE)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise ResourceNotFoundError(resource_type="Target", resource_id=target_id)
    return found


def list_attempts(
    principal: Principal, target_id: uuid.UUID, *, limit: int, cursor: str | None = None
) -> Page[Attempt]:
    """Return the ledger of a target: every dealing with the platform, oldest first."""
    get(principal, target_id)
    query = select(Attempt).where(Attempt.target_id == target_id)
    return paginate(query, by=(Attempt.id,), limit=limit, cursor=cursor, newest_first=False)


# -- what a person may do


def cancel(principal: Principal, target_id: uuid.UUID, *, remember: Remember = forget) -> Target:
    """Stop a target; this wins until the intent to publish is written. Raises StateConflictError after that."""
    target = get(principal, target_id)
    if target.state == "cancelled":
        return target
    moved = target.state in BEFORE_INTENT and Target.move(
        target.ref, before=BEFORE_INTENT, after="cancelled", fenced=False,
        next_at=None, hold=None, hold_until=None, **NO_HANDLE,
    )  # fmt: skip
    if not moved:
        _refuse(principal, target_id, "cancelled", BEFORE_INTENT)
    return finish(target_id, remember)


def retry(
    principal: Principal,
    target_id: uuid.UUID,
    *,
    scheduled_at: str | None = None,
    remember: Remember = forget,
) -> Target:
    """Give a failed or missed target another try, now or at a time of its own; checked like a new one."""
    target = get(principal, target_id)
    Post.lock([target.post_id])  # whoever cancels the post meanwhile sees this target as it will be
    target = get(principal, target_id)
    if target.state not in RETRYABLE:
        _refuse(principal, target_id, "retried", RETRYABLE)
    now = clock.now()
    item = _placed(target, principal)
    post = Post.get_owned(target.post_id, workspace_id=principal.workspace_id)
    ref = target.ref
    db.session.expunge_all()
    target.due_at = schedule.from_instant(scheduled_at, now=now).at if scheduled_at else now
    check(post, [item])
    repost.check([target])
    values = AFRESH | {
        "due_at": target.due_at,
        "own_time": True,
        "late_until": target.due_at + planning.late_after(principal.workspace_id),
        "next_at": planning.first_action(target, now=now),
        "committed_at": None,
        "published_at": None,
        "remote_id": None,
        "permalink": None,
    }
    if not Target.move(ref, before=RETRYABLE, after="scheduled", fenced=False, **values):
        _refuse(principal, target_id, "retried", RETRYABLE)
    renditions.assign(Target.id == target_id)
    Target.reckon_holds(Target.id == target_id)
    return finish(target_id, remember)


def _placed(target: Target, principal: Principal) -> Placed:
    channels = planning.owned(Channel, [target.channel_id], principal)
    videos = planning.owned(Video, [target.video_id], principal)
    return Placed(target, channels[target.channel_id], videos[target.video_id])


def resolve(
    principal: Principal,
    target_id: uuid.UUID,
    *,
    outcome: str,
    url: str | None = None,
    remember: Remember = forget,
) -> Target:
    """Write down what a person found out about a target nobody could tell the end of.

    `outcome`: published or not_published; `url` is where the post is seen.
    """
    target = get(principal, target_id)
    if url is not None and outcome != "published":
        raise ValidationError(details={"url": ["Only a published post has an address. Leave this out."]})
    ref, values = target.ref, _found_out(target, outcome, url)
    after: State = "published" if outcome == "published" else "failed"
    if not Target.move(ref, before={"unknown"}, after=after, fenced=False, next_at=None, **values):
        _refuse(principal, target_id, "resolved", {"unknown"})
    if outcome == "published":
        steps.plan_resolved(target_id)
    else:
        _give_back(target)
    return finish(target_id, remember)


def _give_back(target: Target) -> None:
    """The post is not there: its channel may take the content at once, and its unit of the quota is free."""
    ChannelContent.release(
        channel_id=target.channel_id, content_hash=target.content_hash, target_id=target.id
    )
    quotas.give_back_resolved(target)


def _found_out(target: Target, outcome: str, url: str | None) -> dict[str, Any]:
    if outcome == "published":
        return {"published_at": target.committed_at or clock.now(), "permalink": url, "error": None}
    error: JsonObject = {
        "code": "NOT_PUBLISHED",
        "message": "Somebody looked: the post is not there. It may be tried again.",
        "details": {},
        "platform": target.platform,
        "platform_code": None,
        "kind": "content",
        "retryable": False,
        "retry_at": None,
        "action": "edit",
    }
    return {"error": error, "committed_at": None}


def _refuse(principal: Principal, target_id: uuid.UUID, verb: str, allowed: Any) -> None:
    """Raise StateConflictError that says the state the target is really in."""
    db.session.rollback()
    state = get(principal, target_id).state
    states = sorted(allowed)
    raise StateConflictError(
        f"This target is {state}; only one that is {' or '.join(states)} can be {verb}.",
        {"state": state, "allowed": states},
    )


def finish(target_id: uuid.UUID, remember: Remember) -> Target:
    """Commit, wake the dispatcher, and return the target as it is now."""
    found = _load(select(Target), target_id)
    warnings.attach([found])
    remember(found)
    db.session.flush()
    db.session.expunge_all()
    db.session.commit()
    wake_dispatcher()
    return found


# -- when a video's measuring ends


def media_settled(video_id: uuid.UUID) -> None:
    """Let go of, or end, what waited for a video. Call it after the video's state is written, in that transaction.

    A ready video is held against the limits of each waiting target: renditions are begun for those that need one,
    and those nothing can mend end. A rejected one ends them all.
    The caller commits, then wakes the dispatcher.
    """
    db.session.flush()
    video = db.session.get_one(Video, video_id, populate_existing=True)
    if video.sha256:  # of a file that came in pieces it may be known only now
        db.session.execute(
            update(Target)
            .where(
                Target.video_id == video_id, Target.content_hash != video.sha256, Target.state.in_(WAITING)
            )
            .values(content_hash=video.sha256)
        )
    query = (
        select(Target, Post)
        .join(Post, Post.id == Target.post_id)
        .where(Target.video_id == video_id, Target.state.in_(WAITING))
        .order_by(Target.id)
    )
    for target, post in db.session.execute(query).all():
        if error := _media_error(video, post, target):
            Target.move(
                target.ref, before=WAITING, after="failed", fenced=False, error=error, next_at=None, hold=None
            )
    renditions.assign(Target.video_id == video_id)
    Target.reckon_holds(Target.video_id == video_id)


def _media_error(video: Video, post: Post, target: Target) -> dict[str, Any] | None:
    """Return the error of a target whose video cannot go there, or None when it may, if need be converted."""
    if video.state != "ready":
        reason = video.error or VideoValidationError("This video cannot be used.").to_dict()
        return target_error(**reason, platform=target.platform, kind="media")
    verdict = fits.target_verdict(post, target, video)
    faults = fits.cut_faults(post, target, video)
    if not faults and (verdict is None or verdict.state != "impossible"):
        return None
    broken = verdict.problems if verdict else ()
    details = {problem.rule: {"found": problem.measured, "allowed": problem.allowed} for problem in broken}
    message = " ".join([*faults, *(problem.message for problem in broken)])
    code = VideoValidationError.code
    return target_error(code, message, platform=target.platform, kind="media", details=details)
