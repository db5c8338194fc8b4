from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from app import create_app
from app.embedded import free_port
from app.extensions import limiter
from app.services import auth
from tests import factories
from tests.conftest import SettingsMaker
from tests.database import dispose

LOGIN = "/api/v1/auth/login"
ME = "/api/v1/auth/me"


@pytest.fixture
def limited(make_settings: SettingsMaker) -> Iterator[Callable[..., Flask]]:
    made = []

    def make(**fields: object) -> Flask:
        made.append(create_app(make_settings(**fields)))
        return made[-1]

    yield make
    for app in made:
        dispose(app)


def statuses(app: Flask, emails: list[str], *, address: str = "192.0.2.1") -> list[int]:
    client = app.test_client()
    return [
        client.post(
            LOGIN,
            json={"email": email, "password": "a wrong password"},
            environ_base={"REMOTE_ADDR": address},
        ).status_code
        for email in emails
    ]


def test_logins_are_limited_by_address(limited: Callable[..., Flask]) -> None:
    app = limited(login_rate_limit="3 per minute")

    assert statuses(app, [f"user{n}@example.com" for n in range(5)]) == [401, 401, 401, 429, 429]
    assert statuses(app, ["other@example.com"], address="192.0.2.2") == [401]


def test_logins_are_limited_by_e_mail_from_wherever_they_come(limited: Callable[..., Flask]) -> None:
    app = limited(login_rate_limit="3 per minute")
    addresses = [f"192.0.2.{n}" for n in range(5)]
    spellings = [
        "ada@example.com",
        " ADA@example.com",
        "Ada@Example.com ",
        "ada@example.com",
        "ada@example.com",
    ]

    found = [statuses(app, [email], address=ip)[0] for email, ip in zip(spellings, addresses, strict=True)]

    assert found == [401, 401, 401, 429, 429]


def test_nobody_is_kept_out_by_strangers_of_where_they_have_logged_in_before(
    limited: Callable[..., Flask],
) -> None:
    app = limited(login_rate_limit="3 per minute")
    with app.app_context():
        ada = factories.make_person(password=factories.PASSWORD)

    def log_in(address: str, password: str = factories.PASSWORD) -> int:
        body = {"email": ada.email.upper(), "password": password}
        return app.test_client().post(LOGIN, json=body, environ_base={"REMOTE_ADDR": address}).status_code

    assert log_in("192.0.2.1") == 200
    assert [log_in(f"192.0.2.{n}", "guessed") for n in range(10, 15)] == [401, 401, 429, 429, 429]

    assert log_in("192.0.2.1") == 200
    assert log_in("192.0.2.99") == 429  # a new place is a stranger's, until the minute is over
    assert [log_in("192.0.2.1", "mistyped") for _ in range(3)] == [401, 429, 429]  # counted there too


def test_what_is_over_the_limit_is_not_hashed(
    limited: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = limited(login_rate_limit="1 per minute")
    hashed: list[str] = []
    monkeypatch.setattr(auth, "verify_password", lambda _stored, password: bool(hashed.append(password)))

    assert statuses(app, ["ada@example.com"] * 3) == [401, 429, 429]

    assert len(hashed) == 1


def test_over_the_limit_one_is_told_how_long_to_wait(limited: Callable[..., Flask]) -> None:
    client = limited(api_rate_limit="2 per minute").test_client()

    answers = [client.get(ME) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[2].get_json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60
    assert "Retry-After" not in answers[0].headers
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]


def test_each_principal_has_a_rate_of_its_own(limited: Callable[..., Flask]) -> None:
    app = limited(api_rate_limit="2 per minute")
    with app.app_context():
        ada, bob = factories.make_person(), factories.make_person()
        tokens = [
            factories.make_access_token(ada),
            factories.make_api_key(ada),
            factories.make_access_token(bob),
        ]
        tokens.append(factories.make_access_token(ada))  # another login of the same person: the same rate
    client = app.test_client()

    found = [
        [client.get(ME, headers={"Authorization": f"Bearer {token}"}).status_code for _ in range(3)]
        for token in tokens
    ]

    assert found == [[200, 200, 429], [200, 200, 429], [200, 200, 429], [429, 429, 429]]


def test_all_addresses_of_the_api_share_one_rate_and_health_has_none(limited: Callable[..., Flask]) -> None:
    client = limited(api_rate_limit="2 per minute").test_client()

    assert [client.get(path).status_code for path in (ME, "/api/v1/api-keys", ME)] == [401, 401, 429]
    assert [client.get("/health").status_code for _ in range(4)] == [200] * 4


@contextmanager
def storage_forgiven() -> Iterator[None]:
    """The limiter outlives apps: without this it would go on counting in memory for a while."""
    try:
        yield
    finally:
        limiter._storage_dead = False


def test_without_redis_requests_are_still_answered_and_counted(limited: Callable[..., Flask]) -> None:
    app = limited(api_rate_limit="3 per minute", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    client = app.test_client()

    with storage_forgiven():
        found = [client.get(ME).status_code for _ in range(5)]

    assert found == [401, 401, 401, 429, 429]
