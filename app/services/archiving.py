"""Letting go of what nobody needs any more: a video's bytes go, what is known and told of it stays.

A video may be archived when no open target uses it. Whoever plans a target holds its video's row against change
(services/planning), and here the row is locked before its targets are looked at: so either the new target is
seen, or it sees an archived video. The files are named by removal rows in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, exists, func, not_, select
from sqlalchemy.orm import InstrumentedAttribute

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import OPEN
from app.exceptions import StateConflictError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import Event, Rendition, Target, Video
from app.queue import wake_dispatcher
from app.services import removals

logger = get_logger(__name__)
Row = TypeVar("Row", Video, Rendition)
BATCH = 100  # rows a transaction
SHOWN_BLOCKERS = 10
# Not done yet either: what a person still has to look at may have to go out once more.
UNENDED = OPEN | {"unknown", "awaiting_user"}
SETTLED = ("ready", "rejected")


def archive(principal: Principal, video_id: uuid.UUID) -> None:
    """Archive a video by hand, in the caller's transaction; an archived one stays as it is.

    Raises StateConflictError while posts need it or it is not measured yet.
    """
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id, lock=True)
    if video.state == "processing":
        db.session.rollback()
        raise StateConflictError(
            "This video is not measured yet. Wait until it is ready, or delete it.",
            {"found": video.state, "allowed": list(SETTLED)},
        )
    if video.state != "archived":
        refuse_while_used(video, states=UNENDED)
        let_go([video], event="video.archived")
    db.session.flush()


def refuse_while_used(video: Video, *, states: frozenset[str] = OPEN) -> None:
    """Raise StateConflictError, and roll back, while posts in one of these states use a locked video."""
    query = select(Target.post_id).where(Target.video_id == video.id, Target.state.in_(sorted(states)))
    posts = list(db.session.scalars(query.distinct().limit(SHOWN_BLOCKERS)))
    if posts:
        db.session.rollback()
        raise StateConflictError(
            "This video is used by posts that are not done yet. Cancel them or give them another video first.",
            {"posts": [str(post_id) for post_id in posts]},
        )


def let_go(videos: Sequence[Video], *, event: str) -> None:
    """Archive locked videos in the caller's transaction: their originals and renditions go."""
    now = clock.now()
    ids = [video.id for video in videos]
    for video in videos:
        removals.plan(video.workspace_id, [removals.original(video)])
        Event.record(event, workspace_id=video.workspace_id, subject_id=video.id)
        video.state, video.archived_at = "archived", video.archived_at or now
        video.next_at, video.lease_until, video.thumbnail_wanted = None, None, None
        video.fence, video.version = video.fence + 1, video.version + 1
    renditions = select(Rendition).where(Rendition.video_id.in_(ids)).order_by(Rendition.id)
    _remove(db.session.scalars(renditions.with_for_update()).all())


def _remove(renditions: Sequence[Rendition]) -> None:
    """Let go of locked renditions; a row without bytes is made anew when a target needs it."""
    for row in renditions:
        removals.plan(row.workspace_id, [(row.backend, row.key)])
        row.state, row.key, row.next_at, row.lease_until = "removed", None, None, None
        row.fence += 1


# -- by the timetable


def sweep() -> None:
    """Archive what is kept long enough and let go of old renditions; a batch a transaction."""
    days = settings().retain_originals_days
    if days > 0:
        cutoff = clock.now() - timedelta(days=days)
        while archive_unused(cutoff):
            continue
    days = settings().retain_renditions_days
    if days > 0:
        cutoff = clock.now() - timedelta(days=days)
        while remove_renditions(cutoff):
            continue


def archive_unused(cutoff: datetime, *, limit: int = BATCH) -> int:
    """Archive up to `limit` videos that nothing has needed since `cutoff`; return how many. Commits."""
    old = (Video.state.in_(SETTLED), Video.created_at < cutoff)
    gone = _lock_unneeded(Video, Video.id, *old, cutoff=cutoff, limit=limit)
    let_go(gone, event="video.archived")
    return _commit("%d videos archived", gone)


def remove_renditions(cutoff: datetime, *, limit: int = BATCH) -> int:
    """Let go of up to `limit` renditions whose video nothing has needed since `cutoff`. Commits."""
    old = (Rendition.state == "ready", Rendition.updated_at < cutoff)
    gone = _lock_unneeded(Rendition, Rendition.video_id, *old, cutoff=cutoff, limit=limit)
    _remove(gone)
    return _commit("%d renditions removed", gone)


def _lock_unneeded(
    model: type[Row],
    video_id: InstrumentedAttribute[uuid.UUID],
    *old: ColumnElement[bool],
    cutoff: datetime,
    limit: int,
) -> list[Row]:
    """Lock up to `limit` old rows whose video nothing has needed since `cutoff`."""
    candidates = (
        select(model)
        .where(*old, not_(_in_use(video_id, cutoff)))
        .order_by(model.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    locked = {row: getattr(row, video_id.key) for row in db.session.scalars(candidates)}
    used = _used(list(locked.values()), cutoff)
    return [row for row, of_video in locked.items() if of_video not in used]


def _commit(said: str, gone: Sequence[object]) -> int:
    db.session.commit()
    if gone:
        logger.info(said, len(gone))
        wake_dispatcher()
    return len(gone)


def _in_use(video_id: ColumnElement[uuid.UUID] | object, cutoff: datetime) -> ColumnElement[bool]:
    return exists().where(and_(Target.video_id == video_id, _needs_it(cutoff)))


def _needs_it(cutoff: datetime) -> ColumnElement[bool]:
    """Is a target not ended, or ended since `cutoff`? Figures are collected later, so they do not count."""
    ended_at = func.coalesce(Target.published_at, Target.updated_at)
    return Target.state.in_(sorted(UNENDED)) | (ended_at >= cutoff)


def _used(video_ids: Sequence[uuid.UUID], cutoff: datetime) -> set[uuid.UUID]:
    """Ask again, now that the rows are locked: on PostgreSQL the first question saw an older moment."""
    query = select(Target.video_id).where(Target.video_id.in_(video_ids), _needs_it(cutoff))
    return set(db.session.scalars(query))
