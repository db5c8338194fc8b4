"""The guide's health endpoints, with dependencies that work, fail and hang."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config import SERVICE_NAME, Settings
from app.extensions import db
from tests.conftest import SettingsMaker

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens on port 1


def timeless(body: dict) -> dict:
    """The body without its timestamp, which must be one."""
    assert TIMESTAMP.fullmatch(body.pop("timestamp"))
    return body


@pytest.fixture
def deaf_redis() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def client_of(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


def break_database(app: Flask) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("password=hunter2")

    with app.app_context():
        db.engine.pool.dispose()
        db.engine.dialect.connect = fail  # type: ignore[method-assign]


def test_health_says_what_runs(client: FlaskClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert timeless(response.json) == {"status": "healthy", "service": SERVICE_NAME, "version": "0.1.0"}


def test_live_says_alive(client: FlaskClient) -> None:
    response = client.get("/health/live")

    assert (response.status_code, timeless(response.json)) == (200, {"status": "alive"})


def test_ready_says_ready_on_both_databases(database_url: str, client: FlaskClient) -> None:
    response = client.get("/health/ready")

    assert (response.status_code, timeless(response.json)) == (200, {"status": "ready"})


def test_detailed_says_what_each_dependency_answered(database_url: str, client: FlaskClient) -> None:
    response = client.get("/health/detailed")

    body = timeless(response.json)
    assert response.status_code == 200
    assert list(body) == ["status", "service", "version", "environment", "checks"]
    assert (body["status"], body["environment"]) == ("healthy", "development")
    assert body["checks"]["database"] == {"status": "healthy", "message": "Database connection successful"}
    redis = body["checks"]["redis"]
    assert (redis["status"], redis["message"]) == ("healthy", "Redis connection successful")
    assert set(redis["details"]) == {"version", "connected_clients", "used_memory_human"}


def test_the_folder_is_checked_as_storage(client: FlaskClient) -> None:
    checks = client.get("/health/detailed").json["checks"]

    assert set(checks) == {"database", "redis", "storage"}
    assert checks["storage"]["status"] == "healthy"


def test_s3_is_checked_when_it_is_the_storage(make_settings: SettingsMaker) -> None:
    settings = make_settings(
        storage_backend="s3",
        s3_bucket="videos",
        s3_endpoint_url="http://127.0.0.1:1",
        s3_access_key_id="x" * 8,
        s3_secret_access_key="y" * 8,
    )

    response = client_of(settings).get("/health/detailed")

    assert response.status_code == 503
    assert set(response.json["checks"]) == {"database", "redis", "s3"}
    assert response.json["checks"]["s3"]["status"] == "unhealthy"
    assert response.json["checks"]["database"]["status"] == "healthy"


@pytest.mark.parametrize("path", ["/health/ready", "/health/detailed"])
def test_a_missing_redis_makes_ready_and_detailed_unhealthy(make_settings: SettingsMaker, path: str) -> None:
    response = client_of(make_settings(redis_url=NOWHERE)).get(path)

    assert (response.status_code, response.json["status"]) == (503, "unhealthy")


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_a_missing_redis_does_not_touch_health_and_live(make_settings: SettingsMaker, path: str) -> None:
    assert client_of(make_settings(redis_url=NOWHERE)).get(path).status_code == 200


def test_a_broken_database_is_told_without_its_reason(app: Flask) -> None:
    break_database(app)

    response = app.test_client().get("/health/detailed")

    assert response.status_code == 503
    assert response.json["checks"]["database"] == {
        "status": "unhealthy",
        "message": "Database connection failed",
    }
    assert app.test_client().get("/health/ready").status_code == 503
    assert app.test_client().get("/health/live").status_code == 200


def test_storage_that_fails_does_not_make_unready(app: Flask, settings: Settings) -> None:
    settings.storage_dir.parent.mkdir(exist_ok=True, parents=True)
    if settings.storage_dir.exists():
        settings.storage_dir.rmdir()
    settings.storage_dir.write_text("not a folder")

    assert app.test_client().get("/health/detailed").json["checks"]["storage"]["status"] == "unhealthy"
    assert app.test_client().get("/health/ready").status_code == 200


def test_a_dependency_that_hangs_holds_nobody_up(make_settings: SettingsMaker, deaf_redis: str) -> None:
    client = client_of(make_settings(redis_url=deaf_redis))
    before = threading.active_count()

    began = time.monotonic()
    answers = [client.get("/health/ready"), client.get("/health/detailed")]

    assert time.monotonic() - began < 3
    assert [answer.status_code for answer in answers] == [503, 503]
    assert "did not answer" in answers[1].json["checks"]["redis"]["message"]
    assert threading.active_count() <= before + 1  # however often it is asked after


def test_outsiders_see_no_details_when_the_setting_says_so(make_settings: SettingsMaker) -> None:
    client = client_of(make_settings(health_details="token", metrics_token="t" * 20))

    body = timeless(client.get("/health/detailed").json)

    assert "environment" not in body
    assert body["checks"]["redis"] == {"status": "healthy"}


@pytest.mark.parametrize(("token", "may_see"), [("t" * 20, True), ("u" * 20, False)])
def test_the_bearer_of_the_token_sees_details(
    make_settings: SettingsMaker, token: str, *, may_see: bool
) -> None:
    client = client_of(make_settings(health_details="token", metrics_token="t" * 20))

    response = client.get("/health/detailed", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert ("environment" in response.json) is may_see


def test_without_a_token_nobody_sees_details(make_settings: SettingsMaker) -> None:
    client = client_of(make_settings(health_details="token"))

    assert "environment" not in client.get("/health/detailed", headers={"Authorization": "Bearer "}).json


@pytest.mark.parametrize("path", ["/health", "/health/detailed", "/health/ready", "/health/live"])
def test_answers_are_not_to_be_cached_and_head_works(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200
