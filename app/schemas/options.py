"""Options of platforms in bodies: the document shows each by its name, kind and choices, as its platform declares it.

They are read as any object all the same: what is wrong with them is said by `validation.check`, as the platform's
own error, once the post is no draft. In answers they stand as they were given, maybe to an older version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from app.platforms import registry
from app.platforms.base import Option
from app.schemas.base import Schema

KINDS: Mapping[str, type[fields.Field[Any]]] = {
    "string": fields.String,
    "boolean": fields.Boolean,
    "integer": fields.Integer,
}


class AsGiven(fields.Nested):
    """An object the document shows by a schema, which is read by `reader`."""

    def __init__(self, shown: type[Schema], reader: fields.Field[Any], **options: Any) -> None:
        super().__init__(shown, **options)
        self._reader = reader

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, partial: Any = None, **kwargs: Any
    ) -> Any:
        return self._reader.deserialize(value, attr, data, partial=partial, **kwargs)


def _field(option: Option, doc: str) -> fields.Field[Any]:
    rules: list[Any] = [validate.OneOf(option.choices)] if option.choices else []
    rules += [validate.Range(min=option.minimum)] if option.minimum is not None else []
    return KINDS[option.kind](allow_none=True, validate=rules, metadata={"description": doc})


def _of_platform(name: str) -> type[Schema]:
    members = {option.name: _field(option, option.doc) for option in registry.get_class(name).options}
    return type(f"{name.capitalize()}OptionsSchema", (Schema,), members)


def _of_post(names: Iterable[str]) -> type[Schema]:
    members = {name: fields.Nested(_of_platform(name)) for name in names}
    return type("OptionsByPlatformSchema", (Schema,), members)


def _of_target(names: Iterable[str]) -> type[Schema]:
    """Return a schema with the options of all platforms, for which one it is the channel says."""
    found: dict[str, list[tuple[str, Option]]] = {}
    for adapter in map(registry.get_class, names):
        for option in adapter.options:
            found.setdefault(option.name, []).append((adapter.label, option))
    members = {name: _shared(declared) for name, declared in found.items()}
    return type("PlatformOptionsSchema", (Schema,), members)


def _shared(declared: Sequence[tuple[str, Option]]) -> fields.Field[Any]:
    """Return the field of an option several platforms may have; where they take different values, of any."""
    doc = " ".join(f"{label}: {option.doc}" for label, option in declared)
    first, *others = (option for _, option in declared)
    if all(
        (each.kind, each.choices, each.minimum) == (first.kind, first.choices, first.minimum)
        for each in others
    ):
        return _field(first, doc)
    return fields.Raw(allow_none=True, metadata={"description": doc})


def post_options(**options: Any) -> AsGiven:
    """Return the field of a post's options, by platform."""
    reader = fields.Dict(keys=fields.String(), values=fields.Dict(keys=fields.String()))
    return AsGiven(_POST, reader, **options)


def target_options(**options: Any) -> AsGiven:
    """Return the field of a target's options, which are its platform's."""
    return AsGiven(_TARGET, fields.Dict(keys=fields.String()), **options)


_POST, _TARGET = _of_post(registry.names()), _of_target(registry.names())
