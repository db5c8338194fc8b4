from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import auth
from tests.factories import Person

API = "/api/v1"


@pytest.fixture
def logins(app: Flask, owner: Person) -> list[dict[str, str]]:
    """Headers of three logins of one person, oldest first."""
    with app.app_context():
        made = [auth.begin_session(owner.user_id, user_agent=f"browser {n}") for n in range(3)]
    return [{"Authorization": f"Bearer {login.access_token}"} for login in made]


def works(client: FlaskClient, headers: dict[str, str]) -> bool:
    return client.get(f"{API}/auth/me", headers=headers).status_code == 200


def listed(client: FlaskClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    return list(client.get(f"{API}/sessions", headers=headers).get_json()["data"])


@pytest.mark.usefixtures("database_url")
def test_a_person_sees_where_they_are_logged_in_and_which_login_asks(
    client: FlaskClient, logins: list[dict[str, str]]
) -> None:
    found = listed(client, logins[1])

    assert [(item["user_agent"], item["is_current"]) for item in found] == [
        ("browser 2", False),
        ("browser 1", True),
        ("browser 0", False),
    ]


def test_an_ended_login_stops_at_once_and_is_gone(client: FlaskClient, logins: list[dict[str, str]]) -> None:
    newest = listed(client, logins[0])[0]["id"]

    assert client.delete(f"{API}/sessions/{newest}", headers=logins[0]).status_code == 204

    assert not works(client, logins[2])
    assert [item["user_agent"] for item in listed(client, logins[0])] == ["browser 1", "browser 0"]
    assert client.delete(f"{API}/sessions/{newest}", headers=logins[0]).status_code == 404


def test_all_others_end_together(client: FlaskClient, logins: list[dict[str, str]]) -> None:
    assert client.delete(f"{API}/sessions", headers=logins[1]).status_code == 204

    assert [works(client, headers) for headers in logins] == [False, True, False]


def test_somebody_elses_login_does_not_exist_and_keys_have_none(
    client: FlaskClient,
    logins: list[dict[str, str]],
    other_headers: dict[str, str],
    api_key_headers: dict[str, str],
) -> None:
    session = listed(client, logins[0])[0]["id"]

    assert client.delete(f"{API}/sessions/{session}", headers=other_headers).status_code == 404
    assert client.get(f"{API}/sessions", headers=api_key_headers).status_code == 403
    assert works(client, logins[2])
