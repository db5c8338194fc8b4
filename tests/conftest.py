"""Shared fixtures: real Redis, SQLite and PostgreSQL, migrated once a session and copied for each test.

A test gets SQLite by default. `@pytest.mark.usefixtures("database_url")` (or naming that fixture) runs it
on both databases; `settings`, `app` and `client` follow. Servers start when first asked for.
"""

from __future__ import annotations

import gc
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from moto.server import ThreadedMotoServer

from app.config import Settings
from tests import factories, made_once
from tests.canaries import (
    canaries,
    canary,
    look_through_redis,
    pytest_configure,
    pytest_runtest_logreport,
    pytest_runtest_setup,
    pytest_sessionfinish,
    pytest_testnodedown,
    tell,
)
from tests.canary_marks import ENCRYPTION_KEY
from tests.database import dispose, migrate, share_statements
from tests.recycled import Recycled
from tests.servers import Postgres, postgres_server, redis_server
from tests.skips import skip_or_fail, skipped

# An app makes ten thousands of objects, and a test makes an app: looking for garbage at Python's usual pace takes a
# sixth of the suite's processor time.
gc.set_threshold(50_000, 20, 100)
made_once.install()
LONGEST = (
    "tests/crash/",
    "tests/test_stack.py",
    "tests/flows/",
    "tests/media/",
    "tests/fuzz/",
    "tests/benchmarks/",
)
SettingsMaker = Callable[..., Settings]
__all__ = [  # the hooks and the fixture by which the suite looks for secrets it left
    "canaries", "pytest_configure", "pytest_runtest_logreport", "pytest_runtest_setup", "pytest_sessionfinish",
    "pytest_testnodedown",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: one of them in the end would run alone."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((number for number, part in enumerate(LONGEST) if part in path), len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in skipped:
        terminalreporter.write_line(f"LEFT OUT: {reason}", red=True, bold=True)
    tell(terminalreporter)


# -- Redis


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with redis_server(tmp_path_factory.mktemp("redis")) as url:
            yield url
            with redis.Redis.from_url(url) as client:
                look_through_redis(client)
    except LookupError as missing:
        skip_or_fail(str(missing))


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The session's Redis, emptied for this test."""
    with redis.Redis.from_url(redis_server_url) as client:
        look_through_redis(client)  # what other tests left
        client.flushall()
    return redis_server_url


# -- a bucket


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a stand-in for S3. A lax judge: see what is stored by its bytes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_settings(s3_endpoint: str) -> dict[str, str]:
    """Fields of Settings that name a bucket of this test's own. STORAGE_BACKEND is not among them."""
    name = f"bucket-{secrets.token_hex(6)}"
    secret = canary("s3-secret-access-key")
    access = {"aws_access_key_id": "key", "aws_secret_access_key": secret, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_endpoint, **access)
    client.create_bucket(Bucket=name)
    client.close()
    keys = {"s3_access_key_id": "key", "s3_secret_access_key": secret}
    return {"s3_bucket": name, "s3_endpoint_url": s3_endpoint, **keys}


# -- databases


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}", data_dir=path.parent)
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        with postgres_server() as server:
            yield server
    except LookupError as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a migrated database that serves as template; nobody may stay connected to it."""
    with postgres.database() as url:
        migrate(url, data_dir=tmp_path_factory.mktemp("migrate"))
        yield url.rpartition("/")[2]


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of this test's own."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'scheduler.db')}"


@pytest.fixture(scope="session")
def recycled_postgres(postgres: Postgres, migrated_postgres: str) -> Recycled:
    return Recycled(postgres, migrated_postgres)


@pytest.fixture
def postgres_url(recycled_postgres: Recycled) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    with recycled_postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of this test's own; the test runs once on each kind."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(name))


# -- the application


@pytest.fixture
def make_settings(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> SettingsMaker:
    """Make settings for this test; keyword arguments are fields of Settings and win."""
    asked = "database_url" if "database_url" in request.fixturenames else "sqlite_url"
    database = str(request.getfixturevalue(asked))

    def make(**fields: object) -> Settings:
        defaults: dict[str, object] = {
            "data_dir": tmp_path,
            "secret_key": canary("secret-key"),
            "jwt_secret_key": canary("jwt-secret-key"),
            "encryption_keys": "k1:" + ENCRYPTION_KEY,
            "database_url": database,
            "redis_url": redis_url,
            "min_free_bytes": 0,
            "registration": "open",
            "login_rate_limit": "1000 per minute",
            "api_rate_limit": "10000 per minute",
        }
        return Settings(**(defaults | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def settings(make_settings: SettingsMaker) -> Settings:
    return make_settings()


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application on this test's settings. For services push a context: `with app.app_context():`."""
    from app import create_app

    made = create_app(settings)
    made.testing = True
    share_statements(made)
    yield made
    dispose(made)


@pytest.fixture
def context(app: Flask) -> Iterator[Flask]:
    """The application with its context pushed, for tests of models and services."""
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


# -- people


@pytest.fixture
def owner(app: Flask) -> factories.Person:
    """A person who owns the workspace the tests look at."""
    with app.app_context():
        return factories.make_person()


@pytest.fixture
def auth_headers(app: Flask, owner: factories.Person) -> dict[str, str]:
    """The owner's access token, as headers."""
    with app.app_context():
        return {"Authorization": f"Bearer {factories.make_access_token(owner)}"}


@pytest.fixture
def api_key_headers(app: Flask, owner: factories.Person) -> dict[str, str]:
    """An API key with every scope to the owner's workspace, as headers."""
    with app.app_context():
        return {"Authorization": f"Bearer {factories.make_api_key(owner)}"}


@pytest.fixture
def other_headers(app: Flask) -> dict[str, str]:
    """The access token of somebody who owns another workspace, as headers."""
    with app.app_context():
        return {"Authorization": f"Bearer {factories.make_access_token(factories.make_person())}"}


@pytest.fixture
def login(client: FlaskClient) -> Callable[..., dict[str, str]]:
    """Log in as a person made with `password=factories.PASSWORD` and return the headers."""

    def log_in(email: str, password: str = factories.PASSWORD) -> dict[str, str]:
        answer = client.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}

    return log_in
