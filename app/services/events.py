"""The outbox, read in order by whoever wants to know what happened."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select

from app import clock
from app.domain.principal import Principal
from app.extensions import db
from app.models import Event

UNSETTLED = timedelta(seconds=30)  # no transaction of ours is open for longer: PostgreSQL would end it
LOOK_BACK = 5000  # numbers before the newest in which a gap may still be filled


def list_events(principal: Principal, *, after: int, limit: int) -> tuple[list[Event], int]:
    """Return at most `limit` events after number `after`, oldest first, and the number to continue after.

    Numbers are given out before transactions commit, so a lower one may become visible after a higher one. A
    reader must never step over it: the list ends before a gap that may still be filled.
    """
    return read(principal.workspace_id, after=after, limit=limit)


def read(workspace_id: uuid.UUID, *, after: int, limit: int) -> tuple[list[Event], int]:
    """Return a workspace's events as `list_events` does."""
    query = select(Event).where(Event.workspace_id == workspace_id, Event.seq > after)
    rows = list(db.session.scalars(query.order_by(Event.seq).limit(limit)))
    if rows and _numbers_may_overtake():
        settled = _settled_up_to(after, rows[-1].seq)
        rows = [row for row in rows if row.seq <= settled]
    return rows, rows[-1].seq if rows else after


def is_settled(created_at: datetime) -> bool:
    """Can no event with a lower number than one made then appear any more?"""
    return not _numbers_may_overtake() or created_at <= clock.now() - UNSETTLED


def _numbers_may_overtake() -> bool:
    return db.engine.dialect.name == "postgresql"  # SQLite writes one transaction after the other


def _settled_up_to(after: int, last: int) -> int:
    """Return the highest number up to which no event can appear any more."""
    begin = max(after, last - LOOK_BACK)
    query = (
        select(Event.seq, Event.created_at).where(Event.seq > begin, Event.seq <= last).order_by(Event.seq)
    )
    expected, recent = begin + 1, clock.now() - UNSETTLED
    for seq, created_at in db.session.execute(query):
        if seq != expected and created_at > recent:
            return expected - 1
        expected = seq + 1
    return last
