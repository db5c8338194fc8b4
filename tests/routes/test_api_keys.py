from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select, update

from app import clock
from app.extensions import db
from app.models import ApiKey
from tests.factories import Person, make_api_key

API = "/api/v1"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def create(client: FlaskClient, headers: dict[str, str], **body: Any) -> Any:
    return client.post(f"{API}/api-keys", json={"name": "ci", "scopes": ["read"]} | body, headers=headers)


@pytest.mark.usefixtures("database_url")
def test_a_key_is_shown_once_and_opens_its_workspace(
    client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    made = create(client, auth_headers, scopes=["publish", "read", "read"])

    assert made.status_code == 201, made.get_json()
    key = made.get_json()["key"]
    assert made.get_json()["scopes"] == ["read", "publish"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        me = client.get(f"{API}/auth/me", headers=headers).get_json()
        assert (me["workspace_id"], me["via"], me["role"]) == (str(owner.workspace_id), "api_key", "editor")
    listed = client.get(f"{API}/api-keys", headers=auth_headers)
    assert key not in listed.get_data(as_text=True)
    assert key.startswith(listed.get_json()["data"][0]["prefix"])


def test_only_its_hash_is_stored(app: Flask, owner: Person) -> None:
    with app.app_context():
        key = make_api_key(owner)
        row = db.session.scalars(select(ApiKey)).one()

    assert key.rpartition("_")[2] not in {str(value) for value in vars(row).values()}


def test_a_revoked_key_stops_at_once(
    client: FlaskClient, auth_headers: dict[str, str], other_headers: dict[str, str]
) -> None:
    made = create(client, auth_headers).get_json()
    address = f"{API}/api-keys/{made['id']}"

    assert error(client.delete(address, headers=other_headers)) == (404, "RESOURCE_NOT_FOUND")
    assert client.delete(address, headers=auth_headers).status_code == 204

    assert error(client.get(f"{API}/auth/me", headers={"X-API-Key": made["key"]})) == (401, "INVALID_TOKEN")
    assert error(client.delete(address, headers=auth_headers)) == (404, "RESOURCE_NOT_FOUND")
    assert client.get(f"{API}/api-keys", headers=auth_headers).get_json()["data"] == []


def test_a_key_expires(client: FlaskClient, auth_headers: dict[str, str]) -> None:
    soon = clock.now() + timedelta(minutes=5)
    key = create(client, auth_headers, expires_at=soon.isoformat()).get_json()["key"]

    with time_machine.travel(soon - timedelta(seconds=1), tick=False):
        assert client.get(f"{API}/auth/me", headers={"X-API-Key": key}).status_code == 200
    with time_machine.travel(soon, tick=False):
        assert error(client.get(f"{API}/auth/me", headers={"X-API-Key": key})) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes.0"),
        ({"name": ""}, "name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"role": "owner"}, "role"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    client: FlaskClient, auth_headers: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = create(client, auth_headers, **body)

    assert error(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.get_json()["error"]["details"]) == [field]


def test_a_key_makes_no_keys_and_leaves_its_workspace_never(
    client: FlaskClient, api_key_headers: dict[str, str]
) -> None:
    elsewhere = {**api_key_headers, "X-Workspace-Id": str(uuid.uuid4())}

    assert error(create(client, api_key_headers)) == (403, "AUTHORIZATION_ERROR")
    assert error(client.get(f"{API}/api-keys", headers=api_key_headers)) == (403, "AUTHORIZATION_ERROR")
    assert error(client.get(f"{API}/auth/me", headers=elsewhere)) == (404, "RESOURCE_NOT_FOUND")


def test_a_wrong_secret_is_refused_like_an_unknown_key(
    client: FlaskClient, api_key_headers: dict[str, str]
) -> None:
    key = api_key_headers["Authorization"].partition(" ")[2]
    wrong = [
        key[:-1] + ("a" if key[-1] != "a" else "b"),
        "vsk_000000000000_" + "x" * 43,
        "vsk_",
        "vsk_é_x",
        "x",
    ]

    answers = [client.get(f"{API}/auth/me", headers={"X-API-Key": found}) for found in wrong]

    assert {error(answer) for answer in answers} == {(401, "INVALID_TOKEN")}
    assert len({answer.get_data() for answer in answers}) == 1


def last_used_at(app: Flask) -> Any:
    with app.app_context():
        return db.session.scalars(select(ApiKey.last_used_at)).one()


@pytest.mark.usefixtures("database_url")
def test_its_use_is_noted_at_most_once_a_minute(
    app: Flask, client: FlaskClient, api_key_headers: dict[str, str]
) -> None:
    noon = clock.now()
    seen = []
    for seconds in (0, 59, 61):
        with time_machine.travel(noon + timedelta(seconds=seconds), tick=False):
            assert client.get(f"{API}/auth/me", headers=api_key_headers).status_code == 200
        seen.append(round((last_used_at(app) - noon).total_seconds()))

    assert seen == [0, 0, 61]


def test_one_query_tells_who_is_asking(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], api_key_headers: dict[str, str]
) -> None:
    with app.app_context():
        db.session.execute(update(ApiKey).values(last_used_at=clock.now()))
        db.session.commit()
        engine = db.engine
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

    counts = []
    for headers in (auth_headers, api_key_headers):
        queries.clear()
        client.get(f"{API}/api-keys?limit=x", headers=headers)
        counts.append(len([query for query in queries if query.startswith("SELECT")]))

    assert counts == [1, 1]
