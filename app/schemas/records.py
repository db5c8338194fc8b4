"""Schemas of frozen records that are shown as they are: a field of the schema for each of the record's."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from marshmallow import fields, validate

from app.schemas.base import Schema

PLAIN: dict[Any, type[fields.Field[Any]]] = {
    str: fields.String,
    int: fields.Integer,
    float: fields.Float,
    bool: fields.Boolean,
    timedelta: fields.Float,  # seconds
}


def record_schema(
    record: type, name: str, doc: str, *, without: Collection[str] = (), stored: bool = False
) -> type[Schema]:
    """Return a schema that shows a dataclass and is described by `doc`.

    `stored`: an older version may have written it, without what has a default now. Raises TypeError for a type
    that has no plain form.
    """
    hints = get_type_hints(record)
    members = {
        item.name: _field(hints[item.name], required=not stored or _has_no_default(item))
        for item in dataclasses.fields(record)
        if item.name not in without
    }
    return type(f"{name}Schema", (Schema,), {"__doc__": doc, **members})


def _has_no_default(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _field(hint: Any, **options: Any) -> fields.Field[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = [each for each in get_args(hint) if each is not type(None)]
        options["allow_none"] = True
    if hint is Any:
        return fields.Raw(**options | {"allow_none": True})
    if get_origin(hint) is Literal:
        return fields.String(validate=validate.OneOf(get_args(hint)), **options)
    if get_origin(hint) is tuple:
        return fields.List(_field(get_args(hint)[0]), **options)
    if hint not in PLAIN:
        raise TypeError(f"{hint} has no plain form")
    return PLAIN[hint](**options)
