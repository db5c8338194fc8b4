"""What all schemas share: nothing unknown is accepted, times carry a zone, lists come in pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import marshmallow
from marshmallow import RAISE, fields, pre_load, validate

from app import clock

DEFAULT_PAGE = 50
MAX_PAGE = 100


class Schema(marshmallow.Schema):
    """Base of every schema: unknown fields and texts no database can hold are refused with the field's name."""

    class Meta:
        unknown = RAISE

    @pre_load
    def _refuse_unstorable_text(self, data: Any, **_: Any) -> Any:
        if isinstance(data, Mapping):
            problems = {
                str(key): [_UNSTORABLE]
                for key in data
                if not _is_storable(key) or not _is_storable(data[key])
            }
            if problems:
                raise marshmallow.ValidationError(problems)
        return data


_UNSTORABLE = "Contains a character that cannot be stored (NUL or half of a surrogate pair)."


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and (
            value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
        )
    if isinstance(value, Mapping):
        return all(_is_storable(key) and _is_storable(item) for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return all(_is_storable(item) for item in value)
    return True


class Instant(fields.AwareDateTime):
    """A point in time: read with its offset (a naive one is refused), kept and written in UTC with a `Z`."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        moment: datetime = super()._deserialize(value, *args, **kwargs)
        try:
            return moment.astimezone(UTC)
        except OverflowError:  # its offset takes it out of the years 1 to 9999
            raise marshmallow.ValidationError("This is outside the calendar.") from None

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else clock.isoformat(value)


class PageQuerySchema(Schema):
    """Query of a list. Subclasses add filters."""

    limit = fields.Integer(
        load_default=DEFAULT_PAGE,
        validate=validate.Range(1, MAX_PAGE),
        metadata={"description": f"Rows a page, 1 to {MAX_PAGE}."},
    )
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(1, 1000),
        metadata={"description": "`pagination.next_cursor` of the page before."},
    )


class PaginationSchema(Schema):
    next_cursor = fields.String(allow_none=True, required=True)
    has_more = fields.Boolean(required=True)


@cache
def page_schema(item: type[marshmallow.Schema]) -> type[Schema]:
    """Return the schema of a page of `item`: `{"data": [...], "pagination": {"next_cursor", "has_more"}}`."""
    name = item.__name__.removesuffix("Schema")
    members = {
        "data": fields.List(fields.Nested(item), required=True),
        "pagination": fields.Nested(PaginationSchema, required=True),
    }
    return type(f"{name}PageSchema", (Schema,), members)
