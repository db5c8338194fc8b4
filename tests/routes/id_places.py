"""Where a request can carry ids: found in the OpenAPI document, so that no new field is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.routes.openapi import resolved
from tests.fuzz.good import operations

Json = Mapping[str, Any]
NAMED_LIKE_IDS = re.compile(r"(?:^|_)ids?$")


def places(document: Json) -> Iterator[tuple[str, str, bool]]:
    """Yield (route, place, is an id) for every id a request may carry, and for every part without a form.

    A route is named as Flask names it. A place is a query's parameter (`?channel_id`) or the path of a field in
    the body (`targets[].channel_id`); a part without a form is an object that may hold anything, or a text
    that is not JSON: what it means the document cannot tell.
    """
    for method, path, operation in operations(dict(document)):
        rule = re.sub(r"{(\w+)}", r"<uuid:\1>", path)
        route = f"{method.upper()} {rule}"
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query" and _is_id(parameter["name"], parameter["schema"]):
                yield route, f"?{parameter['name']}", True
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json" or "form" in kind:
                yield from ((route, *found) for found in _fields(document, content["schema"], ""))
            elif content["schema"].get("format") != "binary":
                yield route, kind, False


def _fields(document: Json, node: Json, place: str) -> Iterator[tuple[str, bool]]:
    schema = resolved(document, node)
    for part in (part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())):
        yield from _fields(document, part, place)
    if "items" in schema:
        yield from _fields(document, schema["items"], f"{place}[]")
    for name, member in schema.get("properties", {}).items():
        yield from _fields(document, member, f"{place}.{name}".strip("."))
    if "object" in _types(schema) and "properties" not in schema:
        yield place, False
    elif "items" not in schema and _is_id(place.rpartition(".")[2].removesuffix("[]"), schema):
        yield place, True


def _is_id(name: str, schema: Json) -> bool:
    """Is it an id by its format, or, if it is a text, by its name?"""
    items = schema.get("items", {})
    is_text = "string" in (*_types(schema), *_types(items))
    return "uuid" in (schema.get("format"), items.get("format")) or (
        is_text and NAMED_LIKE_IDS.search(name) is not None
    )


def _types(schema: Json) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)
