"""What all tables share: ids, times, JSON, and the columns of background work."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import uuid6
from sqlalchemy import JSON, DateTime, Dialect, Index, Uuid, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app import clock
from app.exceptions import ResourceNotFoundError
from app.extensions import Model, db


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant. Stored as timestamptz, on SQLite as naive UTC; always read back aware in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored: give it a time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def new_id() -> uuid.UUID:
    """Return a UUIDv7: unique, and sorted by the time it was made."""
    return uuid.UUID(int=uuid6.uuid7().int)


def first_id(instant: datetime, *, later: timedelta = timedelta()) -> uuid.UUID:
    """Return the lowest id that can be made at an instant, or so much later (RFC 9562: 48 bits of milliseconds)."""
    milliseconds = (instant.timestamp() + later.total_seconds()) * 1000
    return uuid.UUID(int=min(max(int(milliseconds), 0), 2**48 - 1) << 80)


class Noun(Model):
    """A table with an id and its times."""

    __abstract__ = True

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=new_id, sort_order=-2)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now, onupdate=clock.now)


class Owned(Noun):
    """A noun of a workspace; `get_owned` is the one place where ownership is checked."""

    __abstract__ = True

    workspace_id: Mapped[uuid.UUID]

    @classmethod
    def get_owned(cls, id_: uuid.UUID, *, workspace_id: uuid.UUID, lock: bool = False) -> Self:
        """Return the row if it belongs to the workspace; `lock` holds it until the transaction ends.

        Raises ResourceNotFoundError otherwise, the same for a foreign id as for one that does not exist.
        """
        query = select(cls).where(cls.id == id_, cls.workspace_id == workspace_id)
        found = db.session.scalar(query.with_for_update() if lock else query)
        if found is None:
            raise ResourceNotFoundError(resource_type=cls.__name__, resource_id=id_)
        return found


class WorkMixin:
    """Columns of a row that has background work.

    `next_at`: when the machine must look at the row again; None: never. A claim pushes it to the end of the
    lease, so a dead worker's row comes due by itself. `fence` rises with each claim; every later write names
    it. `attempts` counts starts since the work last ended cleanly: a row that kills its workers is found out.
    """

    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index of the rows that match `where`, the same on both databases."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


def work_index(table: str, where: str = "next_at IS NOT NULL") -> Index:
    """Return the partial index a claim walks."""
    return partial_index(f"ix_{table}_work", "next_at", where=where)


def write_each(model: type[Noun], rows: Mapping[uuid.UUID, Mapping[str, Any]], *where: Any) -> None:
    """Give each row, by its id, columns of its own, the same ones for all; one round trip.

    In the caller's transaction. `where` is asked of every row besides.
    """
    if not rows:
        return
    table: Any = model.__table__
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in next(iter(rows.values()))}
    statement = update(table).where(table.c.id == bindparam("row_id"), *where).values(values)
    each = [{"row_id": id_, **{f"new_{name}": new[name] for name in new}} for id_, new in rows.items()]
    db.session.connection().execute(statement, each)  # the session itself would take a list to be the ORM's


JsonObject = dict[str, Any]
