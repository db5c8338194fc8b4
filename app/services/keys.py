"""Sealing everything anew with the newest key, beside running workers, so that old keys can be thrown away.

A row is written only if it still holds what was read: whoever changed it meanwhile sealed it with the newest key
already. Stopped half way, it goes on where old seals are left.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select, update

from app.extensions import db, key_ring
from app.logging_config import get_logger
from app.security import SealedValueError

logger = get_logger(__name__)
BATCH = 100  # rows sealed in one transaction
SUFFIX = "_encrypted"
SEALED_AS = {("webhooks", "old_secret"): "secret"}  # a seal that was moved from another column


@dataclass(frozen=True)
class Place:
    """A column of sealed values."""

    table: Table
    column: Column[Any]

    @property
    def name(self) -> str:
        """`table.column`, as a person may read it."""
        return f"{self.table.name}.{self._of}"

    @property
    def _of(self) -> str:
        return self.column.name.removesuffix(SUFFIX)

    def context(self, id_: uuid.UUID) -> str:
        """Return what a value of this row is sealed to."""
        return f"{self.table.name}:{SEALED_AS.get((self.table.name, self._of), self._of)}:{id_}"


@dataclass(frozen=True)
class Progress:
    """How far one column is: rows sealed anew, and rows that no key of the ring opens."""

    place: str
    sealed: int
    unreadable: int


def places() -> list[Place]:
    """Return every column of sealed values there is."""
    return [
        Place(table, column)
        for table in db.metadata.sorted_tables
        for column in table.columns
        if column.name.endswith(SUFFIX)
    ]


def rotate() -> Iterator[Progress]:
    """Seal everything anew with the newest key; yield after each batch how far a column is. Commits."""
    for place in places():
        sealed = unreadable = 0
        last: uuid.UUID | None = None
        while rows := _next_rows(place, after=last):
            changed = [_seal_anew(place, id_, old) for id_, old in rows]
            db.session.commit()
            sealed += changed.count(True)
            unreadable += changed.count(None)
            last = rows[-1][0]
            yield Progress(place.name, sealed, unreadable)
        yield Progress(place.name, sealed, unreadable)


def _next_rows(place: Place, *, after: uuid.UUID | None) -> Sequence[tuple[uuid.UUID, str]]:
    """Return the next rows whose seal is not the newest, by id, so that the unreadable stop nobody."""
    newest = next(iter(key_ring().keys))
    key = place.table.c.id
    query = select(key, place.column).where(place.column != "", ~_sealed_with(place, newest))
    if after is not None:
        query = query.where(key > after)
    rows = db.session.execute(query.order_by(key).limit(BATCH)).all()
    db.session.rollback()
    return [(row[0], row[1]) for row in rows]


def _sealed_with(place: Place, key_id: str) -> ColumnElement[bool]:
    return place.column.startswith(f"{key_id}:", autoescape=True)


def _seal_anew(place: Place, id_: uuid.UUID, old: str) -> bool | None:
    """Return whether this row was sealed anew; None when no key opens it."""
    context = place.context(id_)
    try:
        new = key_ring().encrypt(key_ring().decrypt(old, context=context), context=context)
    except SealedValueError as error:
        logger.warning("%s of row %s cannot be read: %s", place.name, id_, error.message)
        return None
    done = db.session.execute(
        update(place.table)
        .where(place.table.c.id == id_, place.column == old)
        .values({place.column: new, place.table.c.updated_at: place.table.c.updated_at})
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def old_keys() -> dict[str, list[str]]:
    """Return for each key but the newest which columns it still seals something in."""
    _newest, *old = key_ring().keys
    found = {key_id: [place.name for place in places() if _seals(place, key_id)] for key_id in old}
    db.session.rollback()
    return found


def _seals(place: Place, key_id: str) -> bool:
    query = select(place.table.c.id).where(_sealed_with(place, key_id)).limit(1)
    return db.session.execute(query).first() is not None
