"""The OpenAPI document as it is published: what flask-smorest collects, finished.

Hidden operations are taken out; examples, links from what was made to what can be done with it, and answers
that no view names (a rate that is too high, an unknown address) are added.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app

from app.error_handlers import Api
from app.routes import examples
from app.schemas.errors import ErrorSchema

METHODS = ("get", "post", "put", "patch", "delete")
_making = threading.Lock()
MAX_DEPTH = 6  # levels of nested objects an example shows
# What says more of a text than its field's name.
SHAPED = frozenset({"const", "example", "format", "pattern"})
REPLAYED = {
    "description": "This is the stored answer of the first request with this Idempotency-Key.",
    "schema": {"type": "string", "const": "true"},
}
Json = dict[str, Any]

# By format, then by type: values that look like the real ones.
FORMATS: Mapping[str, Any] = {
    "uuid": "01935d2f-6c1e-7c4a-9b57-2f4a7d8e9c10",
    "date-time": "2027-01-31T17:00:00.000000Z",
    "uri": "https://video.example.com/",
    "url": "https://video.example.com/",
    "email": "ada@example.com",
    "password": "correct horse battery",
}
TYPES: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "object": {}}


class DocumentedApi(Api):
    """Serves the finished document at /openapi.json.

    Views are described when the document is asked for first: that costs more than all else an app does at its
    start, and workers, commands and most tests never ask.
    """

    ERROR_SCHEMA = ErrorSchema

    def __init__(self, app: Flask) -> None:
        self._undescribed: list[Any] = []
        super().__init__(app)

    def register_blueprint(self, blp: Any, **options: Any) -> None:
        """Register the blueprint's views now, their description later."""
        app = self._app
        app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        app.register_blueprint(blp, **options)
        self._undescribed.append(blp)

    def described(self) -> Any:
        """Return the APISpec of all views. Not safe for several threads at once."""
        for blp in self._undescribed:
            blp.register_views_in_doc(self, self._app, self.spec, name=blp.name, parameters=None)
            self.spec.tag({"name": blp.name, "description": blp.description})
        self._undescribed = []
        for (schema, *_), name in self.ma_plugin.converter.refs.items():
            if schema.__doc__:
                self.spec.components.schemas[name]["description"] = inspect.cleandoc(schema.__doc__)
        return self.spec

    def _openapi_json(self) -> Response:
        text = current_app.json.dumps(document(current_app), indent=2)
        return Response(text, mimetype="application/json")


def document(app: Flask) -> Json:
    """Return the finished OpenAPI document; made once, for the routes do not change."""
    with _making:
        known = app.extensions.get("openapi")
        if known is None:
            api: DocumentedApi = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
            known = app.extensions["openapi"] = finish(api.described())
    found: Json = known
    return found


def finish(spec: Any) -> Json:
    """Return an APISpec as a document with nothing hidden, nothing unused and nothing missing."""
    found: Json = spec.to_dict()
    found["paths"] = {path: kept for path, item in found["paths"].items() if (kept := _visible(item))}
    for path, item in found["paths"].items():
        for method in METHODS:
            if method in item:
                _complete(found, path, method, item[method])
    _drop_unused(found)
    return found


def _visible(item: Json) -> Json:
    kept = {name: part for name, part in item.items() if not (name in METHODS and part.pop("hide", False))}
    return kept if any(method in kept for method in METHODS) else {}


def _complete(spec: Json, path: str, method: str, operation: Json) -> None:
    operation["responses"] = _answers(spec, method, operation)
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter.get("schema", {}))
    body = operation.get("requestBody", {})
    own = examples.BODIES.get(operation.get("operationId", ""))
    for kind, content in body.get("content", {}).items():
        if "example" not in content and (own is not None or kind == "text/csv"):
            content["example"] = examples.CSV if kind == "text/csv" else own
    for holder in (body, *operation["responses"].values()):
        for content in holder.get("content", {}).values():
            if "example" not in content and "schema" in content:
                content["example"] = example(spec, content["schema"])
    if links := dict(_links(spec, path, operation)):
        operation["responses"]["201"]["links"] = links


def _answers(spec: Json, method: str, operation: Json) -> Json:
    """Return all answers of an operation; those that views describe in words alone get body and headers."""
    responses: Json = operation.get("responses", {})
    if not any(str(status).startswith("4") for status in responses):
        responses["404"] = {"$ref": "#/components/responses/DEFAULT_ERROR"}
    for refusal in _other_refusals(method, operation):
        responses.setdefault(str(refusal), _refusal(spec, HTTPStatus(refusal)))
    takes_key = any(each.get("name") == "Idempotency-Key" for each in operation.get("parameters", ()))
    for status, answer in responses.items():
        if "$ref" in answer:
            continue
        if str(status)[0] in "45" and "content" not in answer:
            answer["content"] = copy.deepcopy(spec["components"]["responses"]["DEFAULT_ERROR"]["content"])
        if str(status)[0] == "2" and takes_key:
            answer["headers"] = answer.get("headers", {}) | {"Idempotency-Replayed": REPLAYED}
    return dict(sorted(responses.items()))


def _without_null(schema: Json) -> Json:
    """Return a parameter's schema without null: what has no value is left out of an address."""
    found = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    if isinstance(found.get("type"), list):
        (found["type"],) = [name for name in found["type"] if name != "null"] or ["string"]
    if "enum" in found:
        found["enum"] = [value for value in found["enum"] if value is not None]
    return found


def _other_refusals(method: str, operation: Json) -> Iterator[int]:
    """Yield the refusals that follow from what an operation is: it changes something, reads a body or If-Match."""
    if method != "get":
        yield from (400, 409)
    if "requestBody" in operation:
        yield from (413, 415)
    if any(each.get("name") == "If-Match" for each in operation.get("parameters", ())):
        yield 412


def _refusal(spec: Json, status: HTTPStatus) -> Json:
    """Return a reference to the answer of this status, which is the envelope like any other error."""
    known: Json = spec["components"]["responses"]
    known.setdefault(status.name, known["DEFAULT_ERROR"] | {"description": status.phrase})
    return {"$ref": f"#/components/responses/{status.name}"}


# -- links


def _links(spec: Json, path: str, operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield a link for everything that can be done with what this operation made, by its id.

    What is made of another (`POST /posts/{post_id}/duplicate`) stands in the same collection.
    """
    if "201" not in operation["responses"]:
        return
    path = path.partition("/{")[0]
    for other, item in spec["paths"].items():
        parent, _, rest = other.partition("/{")
        name, _, deeper = rest.partition("}")
        if parent != path or "/" in deeper.strip("/"):
            continue
        for method in METHODS:
            if method in item:
                yield (
                    item[method]["operationId"],
                    {
                        "operationId": item[method]["operationId"],
                        "parameters": {name: "$response.body#/id"},
                    },
                )


# -- examples


def example(spec: Json, schema: Mapping[str, Any], *, depth: int = 0) -> Any:
    """Return a value the schema accepts, as telling as its names and formats allow."""
    schema = resolved(spec, schema)
    for key in ("example", "const", "enum", "default"):
        if schema.get(key) is not None:
            return schema[key][0] if key == "enum" else schema[key]
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            return example(spec, schema[key][0], depth=depth)
    kind = schema.get("type", "string")
    kind = next((each for each in kind if each != "null"), "null") if isinstance(kind, list) else kind
    if kind == "array":
        return [] if depth > MAX_DEPTH else [example(spec, schema.get("items", {}), depth=depth + 1)]
    if kind == "object":
        return _object(spec, schema, depth)
    return _scalar(schema, kind)


def _object(spec: Json, schema: Mapping[str, Any], depth: int) -> Json:
    members = schema.get("properties", {})
    if depth > MAX_DEPTH:
        members = {name: members[name] for name in schema.get("required", ()) if name in members}
    return {name: _member(spec, name, member, depth + 1) for name, member in members.items()}


def _member(spec: Json, name: str, schema: Mapping[str, Any], depth: int) -> Any:
    """Return what a member of this name usually holds if its schema takes that, else what the schema says."""
    if name in examples.USUAL and _takes(schema, examples.USUAL[name]):
        return examples.USUAL[name]
    return example(spec, schema, depth=depth)


def _takes(schema: Mapping[str, Any], value: str | None) -> bool:
    if value is None:
        return "null" in schema.get("type", ()) or {"type": "null"} in schema.get("anyOf", ())
    if "enum" in schema:
        return value in schema["enum"]
    return "string" in schema.get("type", ()) and SHAPED.isdisjoint(schema)


def _scalar(schema: Mapping[str, Any], kind: str) -> Any:
    value = FORMATS.get(schema.get("format", ""), TYPES.get(kind))
    if kind in {"integer", "number"}:
        return max(schema.get("minimum", value), value) if value is not None else None
    if isinstance(value, str) and "pattern" in schema:
        return "*"
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        return value.ljust(schema["minLength"], "x")
    return value


def resolved(spec: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a node of the document says where it refers to another; what it says itself stays."""
    while "$ref" in node:
        found: Any = spec
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        node = found | {key: value for key, value in node.items() if key != "$ref"}
    return node


# -- tidying


def _drop_unused(spec: Json) -> None:
    """Take out schemas and answers that nothing refers to, until all are used."""
    while True:
        used = {each.rpartition("#/components/")[2] for each in _references(spec)}
        unused = [
            (kind, name)
            for kind in ("schemas", "responses")
            for name in spec["components"].get(kind, {})
            if f"{kind}/{name}" not in used
        ]
        if not unused:
            return
        for kind, name in unused:
            del spec["components"][kind][name]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
