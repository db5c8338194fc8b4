"""Every error there is leaves as the one envelope."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from flask_smorest import abort
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from app import clock, exceptions
from app.config import Settings
from app.error_handlers import field_problems
from app.exceptions import (
    AppException,
    PlatformAPIError,
    PlatformRateLimitError,
    RateLimitExceededError,
    ResourceNotFoundError,
    ServiceUnavailableError,
)
from app.monitoring import init_sentry
from tests.faulty_app import envelope, faulty_app, raising
from tests.reports import DSN, Kept, kept_reports

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def app() -> Flask:
    return faulty_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def tree(root: type[AppException] = AppException) -> Iterator[type[AppException]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize(
    "family", sorted(set(tree()), key=lambda each: each.__name__), ids=lambda each: each.__name__
)
def test_every_error_of_the_tree_has_its_code_and_status(app: Flask, family: type[AppException]) -> None:
    facts = {"platform": "sandbox", "hours_remaining": 3, "next_allowed_at": clock.now()}
    error = family(**facts) if family is exceptions.RepostTooSoonError else family("What happened.")

    response = raising(app, error)

    assert response.status_code == family.status
    assert envelope(response)["code"] == family.code


def test_the_guides_example_comes_out_word_for_word(app: Flask) -> None:
    response = raising(app, ResourceNotFoundError(resource_type="Video", resource_id="123"))

    assert response.text.strip() == (
        '{"error": {"code": "RESOURCE_NOT_FOUND", "message": "Video with ID 123 not found", '
        '"details": {"resource_type": "Video", "resource_id": "123"}}}'
    )


def test_a_platforms_error_says_what_to_do(app: Flask) -> None:
    error = PlatformAPIError("No.", platform="sandbox", kind="reauth", platform_code="expired")

    inner = envelope(raising(app, error))

    assert (inner["platform"], inner["platform_code"], inner["action"]) == ("sandbox", "expired", "reconnect")


def test_problems_of_a_body_are_listed_by_field(client: FlaskClient) -> None:
    response = client.post("/posts", json={"targets": [{"channel_id": "x"}], "colour": "red"})

    assert response.status_code == 422
    assert envelope(response)["code"] == "VALIDATION_ERROR"
    assert envelope(response)["details"] == {
        "title": ["Missing data for required field."],
        "targets.0.channel_id": ["Not a valid UUID."],
        "colour": ["Unknown field."],
    }


@pytest.mark.parametrize(
    ("method", "path", "details"),
    [
        ("GET", "/posts?limit=many", {"limit": ["Not a valid integer."]}),
        ("DELETE", "/posts", {"X-Revision": ["Missing data for required field."]}),
    ],
)
def test_problems_elsewhere_are_listed_the_same(
    client: FlaskClient, method: str, path: str, details: dict
) -> None:
    response = client.open(path, method=method)

    assert (response.status_code, envelope(response)["details"]) == (422, details)


def test_a_body_that_is_no_object_is_a_problem_of_the_body(client: FlaskClient) -> None:
    response = client.post("/posts", json=[1])

    assert response.status_code == 422
    assert envelope(response)["details"] == {"json": ["Invalid input type."]}


@pytest.mark.parametrize(
    ("messages", "details"),
    [
        ({"json": {"_schema": ["No."]}}, {"json": ["No."]}),
        ({"a": {"_schema": ["No."]}}, {"a": ["No."]}),
        ({"query": {"a": "No."}}, {"a": ["No."]}),
        (["No."], {"body": ["No."]}),
        ({"json": {"a": ["1"]}, "query": {"a": ["2"]}}, {"a": ["1", "2"]}),
    ],
)
def test_messages_of_every_shape_become_lists_by_field(messages: object, details: dict) -> None:
    assert field_problems(messages) == details


@pytest.mark.parametrize("path", ["/posts", "/plain"])
def test_broken_json_is_a_bad_request(client: FlaskClient, path: str) -> None:
    response = client.post(path, data="{", content_type="application/json")

    assert response.status_code == 400
    assert envelope(response)["code"] == "BAD_REQUEST"
    assert "JSON" in str(envelope(response)["details"])


def test_a_body_of_another_type_is_refused(client: FlaskClient) -> None:
    response = client.post("/plain", data="<a/>", content_type="text/xml")

    assert response.status_code == 415
    assert envelope(response)["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert envelope(response)["details"] == {"content_type": "text/xml"}


def test_a_body_that_is_too_large_is_refused_with_the_limit(client: FlaskClient) -> None:
    response = client.post("/plain", data=b"x" * 1001, content_type="application/json")

    assert response.status_code == 413
    assert envelope(response)["code"] == "PAYLOAD_TOO_LARGE"
    assert envelope(response)["details"] == {"max_bytes": 1000}


def test_an_unknown_address_is_not_found(client: FlaskClient) -> None:
    response = client.get("/nowhere?token=secret")

    assert response.status_code == 404
    assert envelope(response)["code"] == "RESOURCE_NOT_FOUND"
    assert envelope(response)["details"] == {"method": "GET", "path": "/nowhere"}


def test_a_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    response = client.put("/posts")

    assert response.status_code == 405
    assert envelope(response)["code"] == "METHOD_NOT_ALLOWED"
    assert {"GET", "POST", "DELETE"} <= set(response.headers["Allow"].split(", "))


def test_headers_of_an_http_error_survive(app: Flask) -> None:
    response = raising(app, RequestedRangeNotSatisfiable(length=12))

    assert response.headers["Content-Range"] == "bytes */12"
    assert envelope(response)["code"] == "RANGE_NOT_SATISFIABLE"


def test_the_words_of_an_abort_are_kept(app: Flask) -> None:
    def view() -> None:
        abort(409, message="Taken.", errors={"name": ["Taken."]})

    app.add_url_rule("/aborting", view_func=view)

    inner = envelope(app.test_client().get("/aborting"))

    assert inner == {"code": "CONFLICT", "message": "Taken.", "details": {"name": ["Taken."]}}


# -- tokens and limits


def test_a_missing_token_asks_for_a_login(client: FlaskClient) -> None:
    response = client.get("/private")

    assert response.status_code == 401
    assert envelope(response)["code"] == "AUTH_ERROR"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_says_so(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        token = create_access_token("someone", expires_delta=timedelta(seconds=-1))

    response = client.get("/private", headers={"Authorization": f"Bearer {token}"})

    assert (response.status_code, envelope(response)["code"]) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize("header", ["Bearer a.b.c", "Bearer nonsense", "Bearer a b", "Bearer", "Basic abc"])
def test_a_token_that_is_none_is_refused(client: FlaskClient, header: str) -> None:
    response = client.get("/private", headers={"Authorization": header})

    assert response.status_code == 401
    assert envelope(response)["code"] in {"INVALID_TOKEN", "AUTH_ERROR"}


def test_the_limiter_says_when_to_come_back(client: FlaskClient) -> None:
    client.get("/limited")

    response = client.get("/limited")

    assert response.status_code == 429
    assert envelope(response)["code"] == "RATE_LIMIT_EXCEEDED"
    assert envelope(response)["details"] == {"limit": "1 per 1 minute"}
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_answers_that_are_fine_carry_no_retry_after(client: FlaskClient) -> None:
    response = client.get("/limited")

    assert response.status_code == 200
    assert "X-RateLimit-Remaining" in response.headers
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitExceededError(details={"retry_after": 7}), "7"),
        (ServiceUnavailableError(details={"retry_after": 0.2}), "1"),
        (PlatformRateLimitError(retry_at=NOON + timedelta(seconds=89.5)), "90"),
        (PlatformAPIError(retry_at=NOON + timedelta(seconds=90)), None),
        (ServiceUnavailableError(), None),
    ],
)
@time_machine.travel(NOON, tick=False)
def test_retry_after_stands_on_429_and_503_only(app: Flask, error: AppException, seconds: str | None) -> None:
    assert raising(app, error).headers.get("Retry-After") == seconds


# -- what nobody meant to happen


def test_a_bug_shows_nothing_of_itself(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    response = raising(app, KeyError("the inside of things"))

    assert response.status_code == 500
    assert envelope(response)["code"] == "INTERNAL_ERROR"
    assert "inside" not in response.text
    assert "the inside of things" in capsys.readouterr().out


def test_a_database_error_shows_nothing_of_itself(app: Flask) -> None:
    error = OperationalError("SELECT secret FROM users", {"id": 1}, Exception("connection refused"))

    response = raising(app, error)

    assert (response.status_code, envelope(response)["code"]) == (500, "DATABASE_ERROR")
    assert "SELECT" not in response.text
    assert "refused" not in response.text


def locked(path: Path) -> Exception:
    """Return what SQLAlchemy says when somebody else holds SQLite's write lock."""
    holder, other = (create_engine(f"sqlite:///{path}", connect_args={"timeout": 0}) for _ in range(2))
    with holder.connect() as connection, other.connect() as second:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as refusal:
            second.exec_driver_sql("BEGIN IMMEDIATE")
    holder.dispose()
    other.dispose()
    return refusal.value


@pytest.mark.parametrize("kind", ["SQLite is locked", "no connection is free"])
def test_a_busy_database_asks_to_come_again(app: Flask, tmp_path: Path, kind: str) -> None:
    error = locked(tmp_path / "busy.db") if kind == "SQLite is locked" else PoolTimeout("QueuePool limit")

    response = raising(app, error)

    assert (response.status_code, envelope(response)["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "error", [KeyError("x"), OperationalError("q", {}, Exception()), exceptions.StorageError()]
)
def test_sentry_hears_of_it(app: Flask, error: Exception) -> None:
    with kept_reports() as reports:
        init_sentry(Settings(sentry_dsn=DSN, sentry_traces_sample_rate=0.0), transport=Kept)
        raising(app, error)

    assert [report["exception"]["values"][-1]["type"] for report in reports] == [type(error).__name__]


def test_an_error_that_is_the_callers_is_not_reported(app: Flask) -> None:
    with kept_reports() as reports:
        init_sentry(Settings(sentry_dsn=DSN, sentry_traces_sample_rate=0.0), transport=Kept)
        raising(app, ResourceNotFoundError())

    assert reports == []


# -- what is no error


def test_a_head_request_has_an_empty_body(client: FlaskClient) -> None:
    response = client.head("/nowhere")

    assert (response.status_code, response.data) == (404, b"")


def test_not_modified_stays_as_it_is(client: FlaskClient) -> None:
    etag = client.get("/posts").headers["ETag"]

    response = client.get("/posts", headers={"If-None-Match": etag})

    assert (response.status_code, response.data) == (304, b"")


def test_a_redirect_stays_as_it_is(app: Flask) -> None:
    app.add_url_rule("/folder/", view_func=lambda: "fine", endpoint="folder")

    response = app.test_client().get("/folder")

    assert (response.status_code, response.headers["Location"]) == (308, "http://localhost/folder/")


def test_openapi_shows_the_same_envelope(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json

    described = document["components"]["schemas"]
    assert set(described["Error"]["properties"]) == {"error"}
    assert set(described["ErrorBody"]["required"]) == {"code", "message", "details"}
    assert set(described["ErrorBody"]["properties"]) == PlatformAPIError().to_dict().keys()
    assert "DEFAULT_ERROR" in document["paths"]["/posts"]["post"]["responses"]["default"]["$ref"]
