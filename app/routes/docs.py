"""The documentation page: the OpenAPI document as one HTML page, without scripts and without a CDN."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, current_app, render_template
from markupsafe import Markup, escape

from app.config import SERVICE_NAME
from app.error_handlers import HTTP_ERRORS
from app.extensions import settings
from app.routes import openapi

blp = Blueprint("docs", __name__)

Spec = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
MAX_DEPTH = 4  # levels of nested objects that are shown
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Field:
    """A line of a table: a parameter, or a field of a body by its path, e.g. `targets[].channel_id`."""

    path: str
    kind: str
    is_required: bool
    note: str


@dataclass(frozen=True)
class Answer:
    status: str
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    description: str
    who: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[Answer, ...]
    tag: str


@blp.get("/docs")
def show_docs() -> str:
    spec = openapi.document(current_app)
    found = list(operations(spec))
    tags = [
        (tag["name"], tag.get("description", ""), [item for item in found if item.tag == tag["name"]])
        for tag in spec.get("tags", ())
    ]
    return render_template(
        "docs.html",
        service=SERVICE_NAME,
        url=settings().public_url.rstrip("/"),
        info=spec["info"],
        tags=[entry for entry in tags if entry[2]],
        errors=sorted(HTTP_ERRORS.items()),
    )


@blp.app_template_filter("code_marks")
def code_marks(text: str) -> Markup:
    """Return a text as HTML, with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def operations(spec: Spec) -> Iterator[Operation]:
    """Return each operation of an OpenAPI document, in the document's order."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(spec, path, method, item)


def _operation(spec: Spec, path: str, method: str, item: Spec) -> Operation:
    doc = item[method]
    parameters = [*item.get("parameters", ()), *doc.get("parameters", ())]
    return Operation(
        id=doc.get("operationId", f"{method}-{path}"),
        method=method.upper(),
        path=path,
        summary=doc.get("summary", ""),
        description=doc.get("description", ""),
        who=_who(doc),
        parameters=tuple(_parameter(spec, openapi.resolved(spec, entry)) for entry in parameters),
        body=tuple(_content_fields(spec, doc.get("requestBody", {}))),
        answers=tuple(_answers(spec, doc.get("responses", {}))),
        tag=next(iter(doc.get("tags", ())), ""),
    )


def _who(doc: Spec) -> str:
    schemes = {name for entry in doc.get("security", ()) for name in entry}
    if not schemes:
        return "anybody"
    return "a login or an API key" if "api_key" in schemes else "a login"


def _answers(spec: Spec, responses: Spec) -> Iterator[Answer]:
    """Return the answers that are not errors: all errors look the same and are explained once."""
    for status, response in sorted(responses.items()):
        if str(status)[0] in "23":
            answer = openapi.resolved(spec, response)
            yield Answer(str(status), answer.get("description", ""), tuple(_content_fields(spec, answer)))


def _content_fields(spec: Spec, holder: Spec) -> Iterator[Field]:
    for content in holder.get("content", {}).values():
        yield from _fields(spec, content.get("schema", {}), prefix="", depth=0)


def _fields(spec: Spec, schema: Spec, *, prefix: str, depth: int) -> Iterator[Field]:
    schema = _plain(spec, schema)
    if "items" in schema and not prefix:
        yield from _fields(spec, schema["items"], prefix="[]", depth=depth)
        return
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        plain = _plain(spec, member)
        path = f"{prefix}.{name}" if prefix else name
        yield Field(path, _kind(spec, plain), name in required, _note(plain | _annotations(member)))
        if depth < MAX_DEPTH:
            inner, mark = (plain["items"], "[]") if "items" in plain else (plain, "")
            yield from _fields(spec, inner, prefix=path + mark, depth=depth + 1)


def _parameter(spec: Spec, parameter: Spec) -> Field:
    schema = _plain(spec, parameter.get("schema", {}))
    name = f"{parameter['name']} ({parameter['in']})"
    note = _note(schema | {"description": parameter.get("description", "")})
    return Field(name, _kind(spec, schema), bool(parameter.get("required")), note)


# -- schemas


def _plain(spec: Spec, schema: Spec) -> dict[str, Any]:
    """Return a schema without its reference or its one alternative; null stays in `type`."""
    schema = openapi.resolved(spec, schema)
    for key in ("allOf", "anyOf", "oneOf"):
        others = [entry for entry in schema.get(key, ()) if entry.get("type") != "null"]
        if len(others) == 1:
            return _plain(spec, others[0]) | {name: value for name, value in schema.items() if name != key}
    return dict(schema)


def _annotations(member: Spec) -> dict[str, Any]:
    return {name: member[name] for name in ("description", "default", "example") if name in member}


def _kind(spec: Spec, schema: Spec) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    kinds = schema.get("type", "object" if "properties" in schema else "any")
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    if "array" in names:
        inner = _kind(spec, _plain(spec, schema.get("items", {})))
        names = [f"list of {inner}" if name == "array" else name for name in names]
    elif "format" in schema:
        names = [schema["format"] if name == "string" else name for name in names]
    return " or ".join(names)


def _note(schema: Spec) -> str:
    parts = [str(schema.get("description", "")).rstrip(".")]
    bounds = (
        ("minimum", "from"),
        ("maximum", "to"),
        ("minLength", "min. length"),
        ("maxLength", "max. length"),
    )
    parts += [f"{word} {schema[name]}" for name, word in bounds if name in schema]
    if schema.get("default") is not None:
        parts.append(f"default {schema['default']!r}")
    return "; ".join(part for part in parts if part)
