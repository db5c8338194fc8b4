from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import clock
from app.extensions import db, key_ring
from app.models import Mail, User
from tests.factories import PASSWORD, make_membership, make_user, make_workspace

API = "/api/v1"
ADA = {"email": "ada@example.com", "password": PASSWORD}
NEW = "another long password"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def log_in(client: FlaskClient, password: str = PASSWORD) -> Any:
    return client.post(f"{API}/auth/login", json={**ADA, "password": password})


def bearer(answer: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}


def mailed(app: Flask) -> list[dict[str, Any]]:
    with app.app_context():
        return [
            json.loads(key_ring().decrypt(mail.facts_encrypted, context=f"mails:facts:{mail.id}"))
            for mail in db.session.scalars(select(Mail).order_by(Mail.id))
        ]


@pytest.fixture
def ada(client: FlaskClient) -> dict[str, str]:
    """Headers of a person who registered with a password."""
    return bearer(client.post(f"{API}/auth/register", json=ADA))


@pytest.mark.usefixtures("database_url")
def test_a_changed_password_counts_and_ends_the_other_logins(
    client: FlaskClient, ada: dict[str, str]
) -> None:
    other = bearer(log_in(client))

    changed = client.put(
        f"{API}/auth/password", json={"current_password": PASSWORD, "new_password": NEW}, headers=ada
    )

    assert changed.status_code == 204
    assert error(log_in(client)) == (401, "AUTH_ERROR")
    assert log_in(client, NEW).status_code == 200
    assert client.get(f"{API}/auth/me", headers=ada).status_code == 200
    assert client.get(f"{API}/auth/me", headers=other).status_code == 401


def test_a_wrong_current_password_changes_nothing(client: FlaskClient, ada: dict[str, str]) -> None:
    refused = client.put(
        f"{API}/auth/password", json={"current_password": "wrong", "new_password": NEW}, headers=ada
    )

    assert error(refused) == (422, "VALIDATION_ERROR")
    assert log_in(client).status_code == 200


@pytest.mark.usefixtures("database_url")
def test_a_forgotten_password_is_chosen_anew_once_with_a_mailed_token(
    app: Flask, client: FlaskClient, ada: dict[str, str]
) -> None:
    asked = client.post(f"{API}/auth/password-reset", json={"email": "Ada@example.com"})
    (facts,) = mailed(app)
    body = {"token": facts["token"], "password": NEW}

    first = client.post(f"{API}/auth/password-reset/confirm", json=body)
    second = client.post(f"{API}/auth/password-reset/confirm", json=body)

    assert (asked.status_code, first.status_code) == (202, 204)
    assert error(second) == (401, "INVALID_TOKEN")
    assert client.get(f"{API}/auth/me", headers=ada).status_code == 401
    assert log_in(client, NEW).status_code == 200


def test_nobody_learns_who_has_an_account(app: Flask, client: FlaskClient, ada: dict[str, str]) -> None:
    known = client.post(f"{API}/auth/password-reset", json={"email": ADA["email"]})
    unknown = client.post(f"{API}/auth/password-reset", json={"email": "bob@example.com"})

    assert (known.status_code, known.data) == (unknown.status_code, unknown.data)
    assert len(mailed(app)) == 1
    assert ada


def test_a_reset_token_lives_an_hour_and_cannot_be_made_up(
    app: Flask, client: FlaskClient, ada: dict[str, str]
) -> None:
    client.post(f"{API}/auth/password-reset", json={"email": ADA["email"]})
    (facts,) = mailed(app)
    tokens = [facts["token"][:-2] + "xx", "nonsense", "a.b"]

    answers = [
        client.post(f"{API}/auth/password-reset/confirm", json={"token": token, "password": NEW})
        for token in tokens
    ]
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        body = {"token": facts["token"], "password": NEW}
        answers.append(client.post(f"{API}/auth/password-reset/confirm", json=body))

    assert {error(answer) for answer in answers} == {(401, "INVALID_TOKEN")}
    assert ada


def test_the_mailed_links_page_takes_the_new_password(
    app: Flask, client: FlaskClient, ada: dict[str, str]
) -> None:
    client.post(f"{API}/auth/password-reset", json={"email": ADA["email"]})
    (facts,) = mailed(app)

    shown = client.get("/reset-password", query_string={"token": facts["token"]})
    short = client.post("/reset-password", data={"token": facts["token"], "password": "short"})
    taken = client.post("/reset-password", data={"token": facts["token"], "password": NEW})

    assert facts["token"] in shown.get_data(as_text=True)
    assert (short.status_code, "allowed are 10 to 200" in short.get_data(as_text=True)) == (422, True)
    assert (taken.status_code, log_in(client, NEW).status_code) == (200, 200)
    assert ada


@pytest.mark.usefixtures("database_url")
def test_an_ended_account_is_forgotten_and_its_address_is_free(
    app: Flask, client: FlaskClient, ada: dict[str, str]
) -> None:
    me = client.get(f"{API}/auth/me", headers=ada).get_json()
    key = client.post(f"{API}/api-keys", json={"name": "k", "scopes": ["read"]}, headers=ada).get_json()[
        "key"
    ]

    ended = client.post(f"{API}/auth/delete-account", json={"password": PASSWORD}, headers=ada)

    assert ended.status_code == 204
    assert client.get(f"{API}/auth/me", headers=ada).status_code == 401
    assert client.get(f"{API}/auth/me", headers={"X-API-Key": key}).status_code == 401
    assert error(log_in(client)) == (401, "AUTH_ERROR")
    with app.app_context():
        row = db.session.scalars(select(User)).one()
        assert "ada" not in f"{row.email}{row.name}{row.password_hash}"
        assert str(row.id) == me["user"]["id"]


def test_an_only_owner_of_a_shared_workspace_must_hand_it_over_first(
    app: Flask, client: FlaskClient, ada: dict[str, str]
) -> None:
    with app.app_context():
        owner = db.session.scalars(select(User)).one().id
        shared = make_workspace(owner_id=owner, personal=False)
        make_membership(shared.id, make_user().id)

    refused = client.post(f"{API}/auth/delete-account", json={"password": PASSWORD}, headers=ada)

    assert error(refused) == (409, "STATE_CONFLICT")
    assert client.get(f"{API}/auth/me", headers=ada).status_code == 200
