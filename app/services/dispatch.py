"""The dispatcher's tick: claim what is due in the database, hand it to RQ, say when to look again.

A claim sets lease and fence and pushes `next_at` to the end of the lease, so a claimed row whose worker dies,
or whose job Redis forgets, comes due again by itself. Commit first, then enqueue.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
from sqlalchemy import case, func, literal, select, text, union_all, update
from sqlalchemy.orm import InstrumentedAttribute

from app import clock, crash_points
from app.domain import target_error
from app.domain.target_state import WAITING
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import Channel, Target, TargetRef
from app.models.base import WorkMixin
from app.models.target import MAY_BE_LATE
from app.monitoring import track_video_post
from app.queue import CALL_PLATFORM, QUEUES, STAGE_TARGET, Task, carrier
from app.services import deliveries, instance, publishing, refusals
from app.services.work import WORK, Work

logger = get_logger(__name__)
BATCH = 500
LATE = timedelta(seconds=60)  # a commit later than this is catching up after an outage
MAX_DEATHS = 3  # workers that died over a row before it is given up
QUEUE_ROOM = 50  # jobs that may wait in a queue: a claim's lease runs while its job waits
FULL_PAUSE = 0.2  # seconds until a full queue is looked at again
CATCH_UP_GAP = timedelta(seconds=30)  # and then a channel posts at most this often

Job = tuple[Task, tuple[Any, ...]]


def tick() -> float:
    """Claim and hand over everything that is due; return how many seconds may pass before the next look."""
    now = clock.now()
    release_holds(now)
    deliveries.notice()
    jobs: list[Job] = []
    room = _room()
    firsts = _firsts()
    for work in WORK:
        if not _is_due(firsts.get(work.model), now):
            continue
        claimed = claim(work, now, limit=room[work.task.queue])
        room[work.task.queue] -= len(claimed)
        jobs += claimed
    hand_over(jobs)  # before the mark is looked at: it may lie in a storage that is away
    if reason := instance.check():
        logger.critical("nothing is published: %s", reason)
        return 1.0
    miss_late_targets(now)
    if _is_due(firsts.get(Target), now):
        hand_over(claim_targets(now, room=room["stage"]))
    pause = FULL_PAUSE if any(left <= 0 for left in room.values()) else 0.0
    return max(seconds_until_next(clock.now()), pause)


def _room() -> Counter[str]:
    """Return how many more jobs each queue may take. What waits longer than its lease is dropped and claimed anew,
    behind whatever else waits: so the rest stays in the database, oldest first, until there is room."""
    try:
        waiting = carrier().waiting()
    except redis.RedisError:
        waiting = {}
    return Counter({name: QUEUE_ROOM - waiting.get(name, 0) for name in QUEUES})


def hand_over(jobs: Sequence[Job]) -> None:
    """Enqueue what was claimed, for as long as the longest lease: afterwards somebody has claimed it anew.
    With Redis away the rows come back when their leases end."""
    if not jobs:
        return
    try:
        carrier().enqueue(jobs, wait_seconds=max(1, int(settings().stage_lease_seconds)))
    except redis.RedisError:
        logger.warning("Redis is away: %d claimed jobs come back when their leases end", len(jobs))


# -- claiming


def _claim_rows(
    model: type[WorkMixin],
    now: datetime,
    columns: Sequence[Any],
    *where: Any,
    lease: Any,
    limit: int = BATCH,
) -> list[Any]:
    """Take the lease of due rows nobody else is taking, oldest first; return `columns` of each."""
    key: InstrumentedAttribute[uuid.UUID] = model.id  # type: ignore[attr-defined]
    due = (
        select(key)
        .where(model.next_at <= now, *where)
        .order_by(model.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(model)
        .where(key.in_(select(due.c.id)))
        .values(fence=model.fence + 1, lease_until=lease, next_at=lease)
        .returning(*columns)
        .execution_options(synchronize_session=False)
    )
    return list(db.session.execute(claimed.add_cte(due)).all())


def claim(work: Work, now: datetime, *, limit: int = BATCH) -> list[Job]:
    """Claim due rows of one kind of work, at most `limit`. Commits."""
    if limit <= 0:
        return []
    model: Any = work.model
    lease = now + timedelta(seconds=settings().stage_lease_seconds)
    columns = (model.id, model.fence, model.attempts)
    rows = _claim_rows(work.model, now, columns, *work.where, lease=lease, limit=limit)
    db.session.commit()
    deaths = work.max_deaths or MAX_DEATHS
    for row in rows:
        if row.attempts >= deaths:
            logger.error("%s %s killed its worker %d times", model.__name__, row.id, deaths)
            work.give_up(row.id, row.fence)
    return [(work.task, (str(row.id), row.fence)) for row in rows if row.attempts < deaths]


def claim_targets(now: datetime, *, room: int = BATCH) -> list[Job]:
    """Claim due targets, note that publishing goes on, and return their jobs: staging one by one and at most
    `room`, calls in batches. Commits."""
    rows = _claim_targets(now, room=room)
    if not rows:
        db.session.rollback()
        return []
    commits = [row for row in rows if row.state == "staged"]
    generation = instance.advance() if commits else None
    db.session.commit()
    crash_points.hit("dispatch.after_claim", *(row.platform for row in rows))
    if generation is not None:
        instance.record(generation)
    alive = [row for row in rows if not _is_poison(row)]
    paced = _pace_catch_up([row for row in alive if publishing.next_call(row, now) == "commit"], now)
    jobs = _jobs([row for row in alive if row.id not in paced], now)
    crash_points.hit("dispatch.after_commit", *(row.platform for row in rows))
    return jobs


def _claim_targets(now: datetime, *, room: int) -> list[Any]:
    options = settings()
    short = timedelta(seconds=options.commit_ahead_seconds + options.commit_lease_seconds)
    long = timedelta(seconds=options.stage_lease_seconds)
    rehearsed = (Target.state == "staged") & Target.preflighted_at.is_not(None)
    lease = case((rehearsed, now + short), else_=now + long)
    columns = (
        Target.id, Target.fence, Target.attempts, Target.state, Target.due_at, Target.channel_id,
        Target.post_id, Target.workspace_id, Target.platform, Target.preflighted_at, Target.handle_expires_at,
        Target.handle_encrypted,
    )  # fmt: skip
    unheld, to_stage = Target.hold.is_(None), Target.state.in_(("scheduled", "staging"))
    rows = _claim_rows(Target, now, columns, unheld, ~to_stage, lease=lease)
    if room > 0:
        rows += _claim_rows(Target, now, columns, unheld, to_stage, lease=now + long, limit=room)
    return rows


def _is_poison(row: Any) -> bool:
    if row.attempts < MAX_DEATHS:
        return False
    logger.error("target %s killed its worker %d times", row.id, MAX_DEATHS)
    refusals.give_up(_ref(row), row.state, platform=row.platform)
    return True


def _jobs(rows: Sequence[Any], now: datetime) -> list[Job]:
    staging = [row for row in rows if publishing.next_call(row, now) == "stage"]
    calls = sorted((row for row in rows if row not in staging), key=lambda row: row.due_at)
    size = settings().commit_batch
    batches = [calls[start : start + size] for start in range(0, len(calls), size)]
    return [
        *((STAGE_TARGET, (str(row.id), row.fence)) for row in staging),
        *((CALL_PLATFORM, ([[str(row.id), row.fence] for row in batch],)) for batch in batches),
    ]


def _pace_catch_up(rows: Sequence[Any], now: datetime) -> set[uuid.UUID]:
    """After an outage a channel posts its backlog oldest first, one at a time; return who must wait. Commits."""
    # By channel first: two dispatchers that lock channels in one order never wait for each other in a ring.
    late = sorted(
        (row for row in rows if row.due_at < now - LATE), key=lambda row: (row.channel_id, row.due_at)
    )
    waiting: set[uuid.UUID] = set()
    for row in late:
        taken = db.session.execute(
            update(Channel)
            .where(
                Channel.id == row.channel_id, (Channel.catch_up_at.is_(None)) | (Channel.catch_up_at <= now)
            )
            .values(catch_up_at=now + CATCH_UP_GAP)
            .execution_options(synchronize_session=False)
        )
        if not taken.rowcount:  # type: ignore[attr-defined]
            next_slot = select(Channel.catch_up_at).where(Channel.id == row.channel_id).scalar_subquery()
            Target.note(_ref(row), next_at=next_slot, lease_until=None)
            waiting.add(row.id)
    db.session.commit()
    return waiting


# -- sweeps


def release_holds(now: datetime) -> None:
    """Let go of targets whose hold has run out. Commits."""
    if db.session.scalar(select(Target.id).where(Target.hold_until <= now).limit(1)):
        Target.reckon_holds(Target.hold_until <= now)
    db.session.commit()


def miss_late_targets(now: datetime) -> None:
    """Give up what is later than its owner allowed, held or not; an intent once written is past this. Commits.

    A time may be changed between the look and the move, so both ask.
    """
    is_late = Target.late_until <= now
    rows = db.session.execute(
        select(Target.id, Target.fence, Target.post_id, Target.workspace_id, Target.platform)
        .where(is_late, text(MAY_BE_LATE))
        .limit(BATCH)
    ).all()
    for name in sorted({row.platform for row in rows}):
        refs = [_ref(row) for row in rows if row.platform == name]
        error = target_error.missed(name)
        late = Target.move_many(
            refs, before=WAITING, after="missed", fenced=False, where=is_late, next_at=None, error=error
        )
        db.session.commit()
        for _ in late:
            track_video_post(platform=name, status="missed")
    db.session.commit()


def _ref(row: Any) -> TargetRef:
    return TargetRef(row.id, row.fence, row.post_id, row.workspace_id)


def seconds_until_next(now: datetime) -> float:
    """Return how long nothing is due, in seconds; at most one, so that clocks and lost wakes do not matter."""
    times = _firsts().values()
    return min(1.0, max(0.0, (min(times) - now).total_seconds())) if times else 1.0


def _firsts() -> dict[type[WorkMixin], datetime]:
    """Return when each kind of row is due first, in one question: few kinds are, at most ticks."""
    models: list[type[WorkMixin]] = [Target, *(work.model for work in WORK)]
    by_name: dict[str, Any] = {model.__name__: model for model in models}
    parts = [
        select(literal(name), func.min(model.next_at)).where(model.next_at.is_not(None), *_unheld(model))
        for name, model in by_name.items()
    ]
    rows = db.session.execute(union_all(*parts)).all()
    db.session.rollback()
    return {by_name[name]: first for name, first in rows if first is not None}


def _is_due(first: datetime | None, now: datetime) -> bool:
    return first is not None and first <= now


def _unheld(model: Any) -> tuple[Any, ...]:
    return (model.hold.is_(None),) if model is Target else ()
