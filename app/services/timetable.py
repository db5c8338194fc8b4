"""What is done again and again: entries of the timetable are rows, claimed like all other work.

So each is done by one worker at a time, survives the loss of Redis, and goes on where the last round began.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import clock
from app.extensions import db
from app.logging_config import get_logger
from app.models import Chore
from app.services import archiving, leases

logger = get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """A chore: what does it, and how long after its end it is due again."""

    do: Callable[[], None]
    every: timedelta


TIMETABLE: dict[str, Entry] = {
    "retention": Entry(archiving.sweep, timedelta(hours=1)),
}


def plan() -> None:
    """Make a row of each entry that has none yet, due now. Each dispatcher does so when it starts."""
    missing = TIMETABLE.keys() - set(db.session.scalars(select(Chore.name)))
    db.session.rollback()
    for name in sorted(missing):
        try:
            db.session.add(Chore(name=name, next_at=clock.now()))
            db.session.commit()
        except IntegrityError:  # another dispatcher made it at the same moment
            db.session.rollback()


def perform(chore_id: uuid.UUID, fence: int) -> None:
    """Do a claimed chore and say when it is due again. One that fails is tried again at its next time."""
    name = db.session.scalar(select(Chore.name).where(Chore.id == chore_id, Chore.fence == fence))
    db.session.rollback()
    if name is None or not leases.begin(Chore, chore_id, fence):
        return
    entry = TIMETABLE.get(name)
    try:
        if entry is not None:
            with leases.renewed(Chore, chore_id, fence):
                entry.do()
    except Exception:
        db.session.rollback()
        _again(chore_id, fence, entry)
        raise
    _again(chore_id, fence, entry)


def give_up(chore_id: uuid.UUID, fence: int) -> None:
    """Leave a chore that killed its workers until tomorrow. Commits."""
    leases.write(Chore, chore_id, fence, **leases.FREE, next_at=clock.now() + timedelta(days=1))
    db.session.commit()


def _again(chore_id: uuid.UUID, fence: int, entry: Entry | None) -> None:
    """An entry that is no longer in the timetable is never due again."""
    next_at = clock.now() + entry.every if entry else None
    leases.write(Chore, chore_id, fence, **leases.FREE, next_at=next_at)
    db.session.commit()
