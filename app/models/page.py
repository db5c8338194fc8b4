"""Pages of a list by cursor: a page begins after the last row of the one before, whatever was added meanwhile.

A cursor is opaque to callers: base64 of the last row's sort values, tagged with the order it belongs to. It
holds nothing the caller has not seen, so it is validated rather than signed.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_, select, true, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeDecorator

from app import clock
from app.exceptions import ValidationError
from app.extensions import db

T = TypeVar("T")
Column = InstrumentedAttribute[Any]
Condition = ColumnElement[bool]
Within = tuple[Any, Any]
Led = tuple[Column, Any]
ANYWHERE: Within = (None, None)
MOST_LOOKED_AT = 5000  # rows for a page, where no index knows which are wanted


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and, when there are more, the cursor that continues after them."""

    data: Sequence[T]
    next_cursor: str | None = None

    @property
    def pagination(self) -> dict[str, Any]:
        return {"next_cursor": self.next_cursor, "has_more": self.next_cursor is not None}


@dataclass(frozen=True)
class _Order:
    """Columns and their direction; `led_by`: see `paginate`."""

    columns: Sequence[Column]
    newest_first: bool
    led_by: Led | None = None

    def of(self, columns: Sequence[ColumnElement[Any]] | Sequence[Column]) -> list[ColumnElement[Any]]:
        """Return what orders by these columns, which stand for ours."""
        led = [self.led_by[0]] if self.led_by else []
        return [column.desc() if self.newest_first else column.asc() for column in (*led, *columns)]

    def side(self, compare: Callable[[Any, Any], Condition], value: Any) -> Condition:
        """Compare the first column with a value, None: any; together with what leads it, as an index has them.

        Besides also alone: by that PostgreSQL reckons how many rows there are on this side.
        """
        if self.led_by is None:
            return true() if value is None else compare(self.columns[0], value)
        column, same = self.led_by
        if value is None:
            return compare(column, same)
        return and_(compare(tuple_(column, self.columns[0]), (same, value)), compare(self.columns[0], value))


def paginate(
    query: Select[T],
    *,
    by: Sequence[Column],
    limit: int,
    cursor: str | None = None,
    newest_first: bool = True,
    within: Within = ANYWHERE,
    parts: Sequence[Condition] = (),
    led_by: Led | None = None,
) -> Page[T]:
    """Return at most `limit` rows of `query` (a select of one model) after `cursor`, ordered by `by`.

    The last column of `by` must be unique, usually the id; only the first may be nullable, and NULLs come last
    in either direction. `within`: where the first column's values begin, and where they end (exclusive).
    `parts` are conditions of which each row of `query` meets exactly one, for filters that no single index
    serves in this order: each part is read by its own index as far as the page needs, and the parts are merged,
    so that a page costs the same however many rows there are. `led_by` is a column and the value it must have in
    the rows, which `query` need not say besides: an index that begins with it has the rows in order, and no
    other. (Were it an equality, PostgreSQL might walk an index of `by` alone through any number of rows that do
    not have the value.) Raises ValidationError when the cursor is broken or belongs to another list.
    """
    after = _decode(cursor, by) if cursor else None
    rows: list[T] = []
    for section, order in _sections(_Order(by, newest_first, led_by), after, within):
        left = limit + 1 - len(rows)
        if left > 0 and parts:
            rows += _merged(query, [part & section for part in parts], order, left)
        elif left > 0:
            rows += db.session.scalars(query.where(section).order_by(*order.of(order.columns)).limit(left))
    more = len(rows) > limit
    return Page(rows[:limit], _encode(_values(rows[limit - 1], by), by) if more else None)


def _sections(
    order: _Order, after: Sequence[Any] | None, within: Within, last: Any = None
) -> Iterator[tuple[Condition, _Order]]:
    """Yield what follows the cursor, up to `last`, and its order: rows with a value first, then those without.

    Two queries, for no index answers one that puts NULLs last on both databases.
    """
    first, rest = order.columns[0], _Order(order.columns[1:], order.newest_first)
    bounds = _bounds(order, after, within, last)
    if after is None or after[0] is not None or not _nullable(first):
        beyond = _after(order, after) if after else true()
        # Without a bound only: SQLite takes "is not null" for one, and then looks for no other.
        yield and_(beyond, *bounds) if bounds or not _nullable(first) else first.is_not(None), order
    if _nullable(first) and within == ANYWHERE:
        yield first.is_(None) & (_after(rest, after[1:]) if after and after[0] is None else true()), rest


def _bounds(order: _Order, after: Sequence[Any] | None, within: Within, last: Any) -> list[Condition]:
    """Return where the first column begins and ends, each said once: an index is entered at one of them.

    A cursor's value is one of them, said besides the cursor itself, which no index can be entered with.
    """
    low, high = within
    below = le if high is None else lt
    reached = after[0] if after else None
    if order.newest_first:
        low = low if last is None else last
        if reached is not None and (high is None or reached < high):
            below, high = le, reached
    else:
        if reached is not None and (low is None or reached > low):
            low = reached
        below, high = (below, high) if last is None else (le, last)
    sides = ((below, high), (ge, low))
    return [order.side(*side) for side in sides if order.led_by or side[1] is not None]


def _merged(query: Select[T], parts: Sequence[Condition], order: _Order, limit: int) -> Iterable[T]:
    """Return the first rows of all parts together, each part read no further than `limit`.

    First their ids, then the rows: a planner that sees both at once may walk through everything instead.
    """
    pieces = [
        select(*order.columns).where(part).order_by(*order.of(order.columns)).limit(limit).subquery()
        for part in parts
    ]
    together = union_all(*(select(piece) for piece in pieces)).subquery()
    merged = [together.c[column.key] for column in order.columns]
    ids = db.session.scalars(select(merged[-1]).order_by(*order.of(merged)).limit(limit)).all()
    return _in_this_order(query, order.columns[-1], ids)


def _in_this_order(query: Select[T], id_: Column, ids: Sequence[Any]) -> list[T]:
    rows = db.session.scalars(query.where(id_.in_(ids))).all() if ids else ()
    place = {found: number for number, found in enumerate(ids)}
    return sorted(rows, key=lambda row: place[getattr(row, id_.key)])


def sift(
    query: Select[T],
    *,
    by: Column,
    among: Condition,
    wanted: Condition,
    limit: int,
    cursor: str | None = None,
    newest_first: bool = True,
    within: Within = ANYWHERE,
    led_by: Led | None = None,
) -> Page[T]:
    """Return rows of `query` as `paginate` does, by their id: those `among` these that are `wanted`.

    An index has `among` in the order of `by`; none knows what is `wanted`. So one row after the other is looked
    at, MOST_LOOKED_AT for a page: it costs the same however many rows there are, but may hold fewer than
    `limit`, or none, with more to come. Its cursor continues after the last row that was looked at.
    """
    order, after = _Order([by], newest_first, led_by), _decode(cursor, [by]) if cursor else None
    ((section, _),) = _sections(order, after, within)
    looked_at = select(by).where(among, section).order_by(*order.of([by]))
    # Asked for before, so that a row that is added meanwhile does not move it.
    last = db.session.scalar(looked_at.offset(MOST_LOOKED_AT - 1).limit(1))
    if last is not None:
        ((section, _),) = _sections(order, after, within, last)
        looked_at = select(by).where(among, section).order_by(*order.of([by]))
    found = db.session.scalars(looked_at.where(wanted).limit(limit + 1)).all()
    rows = _in_this_order(query, by, found[:limit])
    if len(found) > limit:
        return Page(rows, _encode([found[limit - 1]], [by]))
    return Page(rows, None if last is None else _encode([last], [by]))


def _nullable(column: Column) -> bool:
    return bool(column.property.columns[0].nullable)


def _after(order: _Order, values: Sequence[Any]) -> Condition:
    column, value = order.columns[0], values[0]
    beyond = order.side(lt if order.newest_first else gt, value)
    if len(values) == 1:
        return beyond
    return or_(
        beyond, and_(column == value, _after(_Order(order.columns[1:], order.newest_first), values[1:]))
    )


# -- the cursor


def _values(row: Any, by: Sequence[Column]) -> list[Any]:
    return [getattr(row, column.key) for column in by]


def _encode(values: Sequence[Any], by: Sequence[Column]) -> str:
    text = json.dumps([_tag(by), *map(_plain, values)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(cursor: str, by: Sequence[Column]) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        tag, *values = json.loads(raw)
        if tag != _tag(by) or len(values) != len(by):
            raise ValueError("a cursor of another list")
        return [_typed(value, column) for value, column in zip(values, by, strict=True)]
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError):
        problem = "This cursor is broken or belongs to another list. Begin again without it."
        raise ValidationError(details={"cursor": [problem]}) from None


def _tag(by: Sequence[Column]) -> int:
    """Name the order a cursor belongs to."""
    return zlib.crc32(",".join(str(column) for column in by).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.isoformat(value)
    return value.hex if isinstance(value, uuid.UUID) else value


_TYPES: dict[type, Callable[[str], Any]] = {uuid.UUID: uuid.UUID, datetime: datetime.fromisoformat}


def _typed(value: Any, column: Column) -> Any:
    if value is None and _nullable(column):
        return None
    kind = column.type
    wanted = (kind.impl_instance if isinstance(kind, TypeDecorator) else kind).python_type
    if wanted in _TYPES and isinstance(value, str):
        value = _TYPES[wanted](value)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("a naive time")
        value = value.astimezone(UTC) if isinstance(value, datetime) else value
    if not isinstance(value, wanted) or isinstance(value, bool) or _is_too_big(value):
        raise ValueError(f"expected {wanted.__name__}")
    return value


def _is_too_big(value: Any) -> bool:
    """Would the database refuse this as an integer, or as a text?"""
    return (isinstance(value, int) and abs(value) >= 2**63) or (isinstance(value, str) and "\0" in value)
