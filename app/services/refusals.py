"""What stops a target before its intent is written: tried again later, held, or ended with a reason."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app import clock
from app.domain.retry import backoff
from app.domain.target_error import given_up
from app.domain.target_state import BEFORE_INTENT, IN_FLIGHT, WAITING, State
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.models import Post, Target, TargetRef, Workspace
from app.services.blocks import is_block
from app.services.leases import FREE
from app.services.publishing import Loaded

_ASKED_BEFORE_INTENT: frozenset[State] = frozenset({"staging", "staged"})
QUOTA_MARGIN = timedelta(minutes=15)  # what staging needs once a new window has begun
OVER_QUOTA_PAUSE = timedelta(hours=24)  # when the platform does not say how long


def refuse(item: Loaded, error: PlatformAPIError, *, before: Collection[State]) -> State | None:
    """Before the intent: try again later what may pass, ask about what was already committed, fail the rest.

    In the caller's transaction; returns the state the target was moved to, if it was.
    """
    if error.kind == "ambiguous" and not _ASKED_BEFORE_INTENT.isdisjoint(before):
        return _ask(item, error)
    if error.kind == "quota":
        return _over_quota(item, error, before=before)
    if error.retryable or error.kind in ("reauth", "ambiguous") or is_block(error):
        Target.note(
            item.ref,
            **FREE,
            next_at=try_again_at(item, error),
            retries=item.retries + 1,
            error=error.to_dict(),
        )
        return None
    return _fail(item, error, before=before)


def _fail(item: Loaded, error: PlatformAPIError, *, before: Collection[State]) -> State | None:
    moved = Target.move(item.ref, before=before, after="failed", **FREE, next_at=None, error=error.to_dict())
    return "failed" if moved else None


def _over_quota(item: Loaded, error: PlatformAPIError, *, before: Collection[State]) -> State | None:
    """A day's quota is used up: the user chose whether the post fails or waits for the next window.

    Work ahead of time that can be done in the next window without being late just waits.
    """
    until = quota_returns_at(error)
    if until <= item.due_at - QUOTA_MARGIN:
        Target.note(item.ref, **FREE, next_at=until, error=error.to_dict())
        return None
    if item.if_over_quota != "defer":
        return _fail(item, error, before=before)
    Target.note(item.ref, **FREE, **deferred(item, until), error=error.to_dict())
    return None


def deferred(item: Loaded, until: datetime) -> dict[str, Any]:
    """Return the columns of a target that waits for the quota of then, in the caller's transaction.

    The usual lateness counts from then; a limit that the user set for the post stays.
    """
    columns: dict[str, Any] = {"next_at": until, "hold": "quota", "hold_until": until}
    row = db.session.execute(
        select(Target.late_until, Post.late_until.label("own"), Workspace.late_after_seconds)
        .join(Post, Post.id == Target.post_id)
        .join(Workspace, Workspace.id == Target.workspace_id)
        .where(Target.id == item.ref.id)
        .with_for_update(of=Target)
    ).one_or_none()
    if row is None or row.late_until is None or row.late_until == row.own:
        return columns
    usual = timedelta(seconds=row.late_after_seconds or settings().late_after_seconds)
    return columns | {"late_until": max(row.late_until, until + usual)}


def quota_returns_at(error: PlatformAPIError) -> datetime:
    """Return when a used-up quota is new: the platform's word, else a day."""
    return error.retry_at or clock.now() + OVER_QUOTA_PAUSE


def _ask(item: Loaded, error: PlatformAPIError) -> State | None:
    """The platform says that this handle was committed, though no intent of ours is open: ask, do not stage."""
    columns: dict[str, Any] = {"next_at": clock.now(), "committed_at": item.committed_at or clock.now()}
    moved = Target.move(
        item.ref, before=_ASKED_BEFORE_INTENT, after="confirming", **FREE, **columns, error=error.to_dict()
    )
    return "confirming" if moved else None


def stage_again(item: Loaded) -> None:
    """The platform has less than was staged: the handle is good for staging on, no longer for a commit."""
    now = clock.now()
    Target.note(
        item.ref, **FREE, handle_expires_at=now, preflighted_at=None, next_at=now, retries=item.retries + 1
    )


def try_again_at(item: Loaded, error: PlatformAPIError) -> datetime:
    """Return when to try again: the platform's own time, else a growing pause."""
    soon = clock.now() + backoff(item.retries + 1)
    return max(soon, error.retry_at) if error.retry_at else soon


def give_up(ref: TargetRef, state: State, *, platform: str) -> None:
    """End a target that killed its workers again and again: before the intent it failed; after it, a person
    must look, for nobody knows whether the post exists. Commits."""
    error = given_up(platform)
    if state in IN_FLIGHT:
        Target.move(ref, before=IN_FLIGHT, after="unknown", **FREE, next_at=None, error=error)
    elif state in BEFORE_INTENT:
        Target.move(ref, before=WAITING, after="failed", **FREE, next_at=None, error=error)
    else:
        Target.note(ref, **FREE, next_at=None)
    db.session.commit()
