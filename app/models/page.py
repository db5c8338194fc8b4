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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeDecorator

from app import clock
from app.exceptions import ValidationError
from app.extensions import db

T = TypeVar("T")
Column = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and, when there are more, the cursor that continues after them."""

    data: Sequence[T]
    next_cursor: str | None = None

    @property
    def pagination(self) -> dict[str, Any]:
        return {"next_cursor": self.next_cursor, "has_more": self.next_cursor is not None}


def paginate(
    query: Select[T],
    *,
    by: Sequence[Column],
    limit: int,
    cursor: str | None = None,
    newest_first: bool = True,
) -> Page[T]:
    """Return at most `limit` rows of `query` (a select of one model) after `cursor`, ordered by `by`.

    The last column of `by` must be unique, usually the id. NULLs come last in either direction. Raises
    ValidationError when the cursor is broken or belongs to another list.
    """
    if cursor:
        query = query.where(_after(by, _decode(cursor, by), newest_first))
    ordered = query.order_by(*(_ordered(column, newest_first) for column in by)).limit(limit + 1)
    rows = db.session.scalars(ordered).all()
    more = len(rows) > limit
    return Page(rows[:limit], _encode(rows[limit - 1], by) if more else None)


def _ordered(column: Column, newest_first: bool) -> ColumnElement[Any]:  # noqa: FBT001
    order = column.desc() if newest_first else column.asc()
    return order.nulls_last() if _nullable(column) else order


def _nullable(column: Column) -> bool:
    return bool(column.property.columns[0].nullable)


def _after(columns: Sequence[Column], values: Sequence[Any], newest_first: bool) -> ColumnElement[bool]:  # noqa: FBT001
    column, value = columns[0], values[0]
    rest = _after(columns[1:], values[1:], newest_first) if len(columns) > 1 else None
    if value is None:
        return and_(column.is_(None), rest) if rest is not None else column.is_(None)
    beyond: ColumnElement[bool] = column < value if newest_first else column > value
    if _nullable(column):
        beyond = or_(beyond, column.is_(None))
    if rest is None:
        return beyond
    reached = or_(beyond, and_(column == value, rest))
    if _nullable(column):
        return reached
    # Said twice for the planner: the plain bound lets it start in the middle of the index.
    return and_(column <= value if newest_first else column >= value, reached)


# -- the cursor


def _encode(row: Any, by: Sequence[Column]) -> str:
    values = [_plain(getattr(row, column.key)) for column in by]
    text = json.dumps([_tag(by), *values], separators=(",", ":"))
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
