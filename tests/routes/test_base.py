from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.routes import blueprints
from app.routes.base import JSON_BODY_BYTES, Blueprint

LOGIN = "/api/v1/auth/login"


def post(client: FlaskClient, body: bytes, content_type: str = "application/json") -> Any:
    return client.post(LOGIN, data=body, content_type=content_type)


def test_a_view_that_nobody_classified_cannot_be_made() -> None:
    blp = Blueprint("demo", __name__, description="")

    with pytest.raises(TypeError, match="requires"):
        blp.get("/open")(lambda: "")
    with pytest.raises(TypeError, match="directly below"):
        blp.get("/late")(blp.response(200)(blp.public()(lambda: "")))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"NaN",
        b'{"email": Infinity}',
        b"[" * 100_000,
        b"\xff",
        b'"' + b"1" * 5000,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
    ids=["cut", "nan", "infinity", "deep", "not-utf8", "open-string", "long-number"],
)
def test_a_body_that_is_not_json_is_400(client: FlaskClient, body: bytes) -> None:
    answer = post(client, body)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "BAD_REQUEST")


def test_a_body_of_another_type_is_415(client: FlaskClient) -> None:
    answer = post(client, b"email=a", "application/x-www-form-urlencoded")

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"x"', b"{}", b""])
def test_json_of_the_wrong_shape_is_422(client: FlaskClient, body: bytes) -> None:
    answer = post(client, body)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_a_json_body_has_at_most_a_mebibyte(client: FlaskClient) -> None:
    fits = json.dumps({"email": "a@example.com", "password": "x"}).encode().ljust(JSON_BODY_BYTES)

    assert post(client, fits).status_code == 401
    answer = post(client, fits + b" ")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_unknown_query_parameters_are_refused(client: FlaskClient, auth_headers: dict[str, str]) -> None:
    answer = client.get("/api/v1/api-keys?limti=5", headers=auth_headers)

    assert answer.status_code == 422
    assert answer.get_json()["error"]["details"] == {"limti": ["Unknown field."]}


def test_who_asks_is_told_before_what_is_wrong_with_the_question(client: FlaskClient) -> None:
    assert client.get("/api/v1/api-keys?limit=x").status_code == 401
    assert client.post("/api/v1/api-keys", data=b"{").status_code == 401


def test_every_operation_names_itself_once(app: Flask) -> None:
    spec = app.test_client().get("/openapi.json").get_json()
    operations = [
        operation
        for item in spec["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert spec["openapi"].startswith("3.1")
    assert len(operations) > 10
    assert [item for item in operations if not item.get("operationId") or not item.get("summary")] == []
    assert len({item["operationId"] for item in operations}) == len(operations)
    assert [item["operationId"] for item in operations if "security" not in item] == []


def test_refusals_are_documented_as_the_envelope(app: Flask) -> None:
    spec = app.test_client().get("/openapi.json").get_json()
    listing = spec["paths"]["/api/v1/api-keys"]["get"]

    refused = {status: found for status, found in listing["responses"].items() if status.startswith("4")}

    assert sorted(refused) == ["401", "403", "404", "422", "429"]
    for found in refused.values():
        response = spec["components"]["responses"][found["$ref"].rpartition("/")[2]]
        schema = response["content"]["application/json"]["schema"]["$ref"]
        assert "error" in spec["components"]["schemas"][schema.rpartition("/")[2]]["properties"]
    assert listing["security"] == [{"bearer": []}]
    assert set(spec["components"]["securitySchemes"]) == {"bearer", "api_key"}


def test_blueprints_are_found_by_themselves() -> None:
    assert {"auth", "api_keys", "health", "index", "docs"} <= {found.name for found in blueprints()}
