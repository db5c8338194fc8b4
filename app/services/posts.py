"""Posts: making them, finding one, stopping them. Editing is in `edits`, the list in `post_list`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.orm import selectinload

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import BEFORE_INTENT
from app.exceptions import ResourceNotFoundError, StateConflictError, ValidationError
from app.extensions import db
from app.models import Event, Post, Rendition, Target
from app.models.event import EventData
from app.queue import wake_dispatcher
from app.services import fits, outgoing, planning, renditions, repost, uploads_url, warnings
from app.services.idempotency import Remember, forget
from app.services.outcomes import NO_HANDLE
from app.services.planning import Plan, PostInput
from app.services.validation import Placed

CheckUrl = Callable[..., None]  # as outgoing.check_url
SOON = timedelta(seconds=2)  # the dispatcher looks every second by itself


def create(
    given: PostInput,
    principal: Principal,
    *,
    remember: Remember = forget,
    check_url: CheckUrl = outgoing.check_url,
) -> Post:
    """Make a post and its targets, all or nothing. Raises what `planning.plan` and `repost.check` raise."""
    plan = planning.plan(_with_import(given, principal, check_url), principal)
    repost.check([target for target in plan.targets if target.state != "draft"])
    db.session.add_all([plan.post, *plan.targets])
    renditions.assign(Target.post_id == plan.post.id)
    Target.reckon_holds(Target.post_id == plan.post.id)
    _tell(plan)
    return finish(plan.post.id, remember=remember)


def preview(given: PostInput, principal: Principal, *, check_url: CheckUrl = outgoing.check_url) -> Post:
    """Return what `create` would make, unstored, or raise what it would raise. The caller rolls back."""
    plan = planning.plan(_with_import(given, principal, check_url), principal)
    repost.check([target for target in plan.targets if target.state != "draft"])
    for item in plan.placed:
        item.target.channel = item.channel
        item.target.hold = _hold(item)
    fits.attach(plan.post, [(item.target, item.video) for item in plan.placed])
    plan.post.targets = plan.targets
    warnings.attach(plan.targets)
    return plan.post


def _with_import(given: PostInput, principal: Principal, check_url: CheckUrl) -> PostInput:
    """Begin the import a post asks for, in the post's own transaction, and let the post name its video."""
    source = given.get("video")
    if source is None:
        return given
    if given.get("video_id") is not None:
        raise ValidationError(details={"video": ["Name a video_id or an address to fetch from, not both."]})
    check_url(source["url"], field="video.url")
    return {**given, "video_id": uploads_url.begin(principal, **source).video_id}


def _hold(item: Placed) -> str | None:
    """Return what would stand in the way of a target that is not stored yet, as `Target.reckon_holds` does."""
    if item.channel.paused_at is not None:
        return "paused"
    if item.channel.status != "active":
        return "reconnect"
    return "media" if item.video.state == "processing" else None  # nor is a rendition made


def _tell(plan: Plan) -> None:
    data: EventData = {"status": plan.post.status, "targets": len(plan.targets)}
    Event.record(
        "post.created",
        workspace_id=plan.post.workspace_id,
        post_id=plan.post.id,
        subject_id=plan.post.id,
        data=data,
    )
    db.session.flush()
    Event.record_many(
        "target.scheduled", [target.ref for target in plan.targets if target.state == "scheduled"]
    )


def finish(post_id: uuid.UUID, *, remember: Remember = forget) -> Post:
    """End a change of a post: have it remembered, commit, wake the dispatcher if something is due, return it."""
    post = _load(select(Post).where(Post.id == post_id))
    assert post is not None
    warnings.attach(post.targets)
    remember(post)
    db.session.flush()
    db.session.expunge_all()  # what was loaded stays readable after the commit, without asking again
    db.session.commit()
    soon = clock.now() + SOON
    if any(target.next_at is not None and target.next_at <= soon for target in post.targets):
        wake_dispatcher()
    return post


# -- finding


def whole(query: Select[Post]) -> Select[Post]:
    """Have everything that is shown of a post loaded with it."""
    targets = selectinload(Post.targets)
    shown = (
        targets.joinedload(Target.channel),
        targets.immediateload(Target.post),  # which is the post itself: not asked for again
        targets.joinedload(Target.rendition).joinedload(Rendition.video),
        targets.selectinload(Target.steps),
    )
    return query.options(*shown).execution_options(populate_existing=True)


def _load(query: Select[Post]) -> Post | None:
    return db.session.scalar(whole(query))


def get(principal: Principal, post_id: uuid.UUID) -> Post:
    """Return a post with its targets. Raises ResourceNotFoundError."""
    post = _load(select(Post).where(Post.id == post_id, Post.workspace_id == principal.workspace_id))
    if post is None:
        raise ResourceNotFoundError(resource_type="Post", resource_id=post_id)
    return post


def show(principal: Principal, post_id: uuid.UUID) -> Post:
    """Return a post with its targets and what is to be warned of. Raises ResourceNotFoundError."""
    post = get(principal, post_id)
    warnings.attach(post.targets)
    return post


# -- stopping


def cancel(principal: Principal, post_id: uuid.UUID, *, remember: Remember = forget) -> Post:
    """Cancel every target that can still be stopped. Raises StateConflictError when none can.

    What is going out at this moment, or is out, is left alone; cancelling a cancelled post changes nothing.
    """
    # Locked: whoever adds a target meanwhile has done so before, or finds another version.
    Post.get_owned(post_id, workspace_id=principal.workspace_id, lock=True)
    post = get(principal, post_id)
    refs = [target.ref for target in post.targets if target.state in BEFORE_INTENT]
    moved = Target.move_many(
        refs, before=BEFORE_INTENT, after="cancelled", fenced=False,
        next_at=None, hold=None, hold_until=None, **NO_HANDLE,
    )  # fmt: skip
    if moved:
        db.session.execute(update(Post).where(Post.id == post_id).values(version=Post.version + 1))
    if not moved and post.status != "cancelled":
        db.session.rollback()
        raise too_late(get(principal, post_id))
    return finish(post_id, remember=remember)


def too_late(post: Post) -> StateConflictError:
    """Return the error for a change that comes after the intent: it says the state each target is in."""
    states = {str(target.id): target.state for target in post.targets}
    shown = ", ".join(sorted(set(states.values())))
    return StateConflictError(
        f"Too late: nothing of this post waits any more ({shown}).",
        {"status": post.status, "targets": states, "allowed": sorted(BEFORE_INTENT)},
    )
