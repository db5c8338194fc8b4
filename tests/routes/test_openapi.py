"""The published document is valid, complete, and its examples are accepted by its own schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from app.routes.openapi import METHODS

Json = dict[str, Any]


@pytest.fixture
def spec(client: FlaskClient) -> Json:
    found: Json = client.get("/openapi.json").get_json()
    return found


def operations(spec: Json) -> Iterator[tuple[str, Json]]:
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def contents(operation: Json) -> Iterator[Json]:
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from holder.get("content", {}).values()


def test_every_operation_is_named_once_summed_up_and_says_who_may_use_it(spec: Json) -> None:
    found = dict(operations(spec))

    names = [operation["operationId"] for operation in found.values()]
    assert spec["openapi"].startswith("3.1")
    assert len(names) == len(set(names)) > 60
    lacking = [
        route
        for route, operation in found.items()
        if not {"summary", "tags", "security", "operationId"} <= operation.keys()
    ]
    assert lacking == []


def test_nothing_hidden_is_published_and_nothing_unused(spec: Json) -> None:
    text = str(spec)

    assert "'hide'" not in text
    unused = [
        f"{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in spec["components"][kind]
        if f"'#/components/{kind}/{name}'" not in text
    ]
    assert unused == []


def test_every_reference_leads_somewhere(spec: Json) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for item in node:
                yield from references(item)

    for reference in set(references(spec)):
        found: Any = spec
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_operation_tells_of_an_error_and_every_body_has_an_example(spec: Json) -> None:
    without_error = [
        route
        for route, operation in operations(spec)
        if not any(str(status).startswith("4") for status in operation["responses"])
    ]
    without_example = [
        route
        for route, operation in operations(spec)
        if any("schema" in content and "example" not in content for content in contents(operation))
    ]

    assert (without_error, without_example) == ([], [])


def absolute(schema: Json) -> Json:
    """Return a schema whose reference names the document it points into."""
    return {"$ref": f"urn:spec{schema['$ref']}"} if "$ref" in schema else schema


def test_every_example_is_accepted_by_its_schema(spec: Json) -> None:
    registry: Registry[Any] = Registry().with_resource("urn:spec", Resource(spec, DRAFT202012))
    wrong = []
    for route, operation in operations(spec):
        for content in contents(operation):
            schema = absolute(content["schema"])
            checker = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
            wrong += [f"{route}: {fault.message}" for fault in checker.iter_errors(content["example"])]

    assert wrong == []


def test_what_is_made_links_to_what_can_be_done_with_it(spec: Json) -> None:
    known = {operation["operationId"] for _, operation in operations(spec)}

    links = spec["paths"]["/api/v1/posts"]["post"]["responses"]["201"]["links"]

    assert {"get_post", "update_post"} <= links.keys()
    assert links["get_post"]["parameters"] == {"post_id": "$response.body#/id"}
    for verb in ("duplicate", "repost"):
        made = spec["paths"][f"/api/v1/posts/{{post_id}}/{verb}"]["post"]["responses"]["201"]
        assert made["links"] == links
    all_links = [
        link["operationId"]
        for _, operation in operations(spec)
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert set(all_links) <= known


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/channels/{channel_id}/posting-options", "get", {"409", "502"}),
        ("/videos/{video_id}/fit", "get", {"409"}),
        ("/uploads/{upload_id}/parts", "get", {"409", "410"}),
        ("/uploads/{upload_id}/parts", "post", {"409", "410"}),
    ],
)
def test_what_a_state_refuses_is_described(spec: Json, path: str, method: str, statuses: set[str]) -> None:
    answers = spec["paths"][f"/api/v1{path}"][method]["responses"]

    assert statuses <= answers.keys()


def test_every_refusal_has_the_body_of_an_error(spec: Json) -> None:
    bare = [
        f"{route}: {status}"
        for route, operation in operations(spec)
        for status, answer in operation["responses"].items()
        if str(status)[0] in "45" and not answer.keys() & {"$ref", "content"}
    ]

    assert bare == []


def test_errors_renditions_and_options_are_typed(spec: Json) -> None:
    """Left untyped is only what is the caller's own, a platform's own, or named by its place alone."""
    schemas = spec["components"]["schemas"]

    untyped = {
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, found in schema.get("properties", {}).items()
        if "object" in found.get("type", ())
        and not found.get("properties")
        and not found.get("additionalProperties")
    }

    assert {name.partition(".")[2] for name in untyped} <= {
        "details", "metadata", "result", "payload", "data", "more", "options", "credentials",
    }  # fmt: skip
    assert {name for name in untyped if name.endswith(".options")} == {
        "Target.options",
        "PreviewTarget.options",
    }
