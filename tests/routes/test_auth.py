from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from app import clock, create_app
from app.extensions import db
from app.models import Invitation, LoginSession, Membership, User, Workspace
from app.services import auth, people
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.factories import PASSWORD, Person, make_membership, make_person, make_user, make_workspace

API = "/api/v1"
ADA = {"email": "ada@example.com", "password": PASSWORD}


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- registering


@pytest.mark.usefixtures("database_url")
def test_who_registers_gets_a_workspace_of_their_own_and_is_logged_in(client: FlaskClient) -> None:
    answer = client.post(f"{API}/auth/register", json={**ADA, "email": " Ada@Example.com ", "name": "Ada"})

    assert answer.status_code == 201, answer.get_json()
    me = client.get(f"{API}/auth/me", headers=bearer(answer.get_json()["access_token"])).get_json()
    assert me["user"]["email"] == "ada@example.com"
    assert me["role"] == "owner"
    assert [(found["name"], found["is_personal"]) for found in me["workspaces"]] == [
        ("Ada's workspace", True)
    ]
    assert me["workspace_id"] == me["workspaces"][0]["id"]


def test_an_address_is_registered_once(client: FlaskClient) -> None:
    client.post(f"{API}/auth/register", json=ADA)

    again = client.post(f"{API}/auth/register", json={**ADA, "email": "ADA@example.com"})

    assert error(again) == (409, "RESOURCE_ALREADY_EXISTS")


@pytest.mark.parametrize(("length", "status"), [(9, 422), (10, 201), (200, 201), (201, 422)])
def test_passwords_have_10_to_200_characters(client: FlaskClient, length: int, status: int) -> None:
    answer = client.post(f"{API}/auth/register", json={**ADA, "password": "p" * length})

    assert answer.status_code == status
    if status == 422:
        said = answer.get_json()["error"]["details"]["password"]
        assert said == [f"Found {length} characters, allowed are 10 to 200."]


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.com", "a" * 250 + "@example.com", 5, None])
def test_what_is_no_address_is_refused(client: FlaskClient, email: object) -> None:
    answer = client.post(f"{API}/auth/register", json={**ADA, "email": email})

    assert error(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.get_json()["error"]["details"]) == ["email"]


@pytest.fixture
def closed(make_settings: SettingsMaker) -> Any:
    app = create_app(make_settings(registration="closed"))
    yield app
    dispose(app)


def test_the_first_may_register_where_it_is_closed_and_nobody_after(closed: Flask) -> None:
    client = closed.test_client()

    first = client.post(f"{API}/auth/register", json=ADA)
    second = client.post(f"{API}/auth/register", json={**ADA, "email": "bob@example.com"})

    assert first.status_code == 201
    assert error(second) == (403, "AUTHORIZATION_ERROR")


@pytest.mark.usefixtures("database_url")
def test_of_two_who_come_first_at_once_one_is_first(closed: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=10)

    def hash_together(_password: str) -> str:
        together.wait()  # both have been told by now that nobody is here
        return "hash"

    monkeypatch.setattr(people, "hash_password", hash_together)

    def register(name: str) -> int:
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        return closed.test_client().post(f"{API}/auth/register", json=body).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(register, ("ada", "bob")))

    assert statuses == [201, 403]
    with closed.app_context():
        assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_a_refused_registration_leaves_nothing(closed: Flask) -> None:
    client = closed.test_client()
    client.post(f"{API}/auth/register", json=ADA)

    client.post(f"{API}/auth/register", json={**ADA, "email": "eve@example.com", "invitation_token": "guess"})

    with closed.app_context():
        counts = [db.session.scalar(select(func.count()).select_from(table)) for table in (User, Workspace)]
    assert counts == [1, 1]


# -- invitations


def invite(client: FlaskClient, headers: dict[str, str], email: str = "bob@example.com") -> str:
    answer = client.post(f"{API}/invitations", json={"email": email, "role": "viewer"}, headers=headers)
    assert answer.status_code == 201, answer.get_json()
    return str(answer.get_json()["token"])


@pytest.mark.usefixtures("database_url")
def test_an_invitation_lets_its_addressee_in_once(
    client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    token = invite(client, auth_headers)
    bob = {"email": "Bob@example.com", "password": PASSWORD, "invitation_token": token}

    first = client.post(f"{API}/auth/register", json=bob)
    again = client.post(f"{API}/auth/register", json={**bob, "email": "bob2@example.com"})

    assert first.status_code == 201, first.get_json()
    assert error(again) == (401, "INVALID_TOKEN")
    me = client.get(f"{API}/auth/me", headers=bearer(first.get_json()["access_token"])).get_json()
    roles = {found["id"]: found["role"] for found in me["workspaces"]}
    assert roles == {str(owner.workspace_id): "viewer", me["workspace_id"]: "owner"}
    events = client.get(f"{API}/events", headers=auth_headers).get_json()["data"]
    joined = [each for each in events if each["type"] == "member.joined"]
    assert [(each["subject_id"], each["data"]) for each in joined] == [(me["user"]["id"], {"role": "viewer"})]


def test_an_invitation_is_for_one_address_and_seven_days(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str]
) -> None:
    token = invite(client, auth_headers)
    body = {"email": "eve@example.com", "password": PASSWORD, "invitation_token": token}
    assert error(client.post(f"{API}/auth/register", json=body)) == (422, "VALIDATION_ERROR")

    with app.app_context():
        db.session.execute(update(Invitation).values(expires_at=clock.now()))
        db.session.commit()

    late = client.post(f"{API}/auth/register", json={**body, "email": "bob@example.com"})
    assert error(late) == (401, "INVALID_TOKEN")


# -- logging in


@pytest.mark.usefixtures("database_url")
def test_a_person_logs_in_whatever_the_case_of_the_address(
    app: Flask, client: FlaskClient, login: Any
) -> None:
    with app.app_context():
        make_person(email="ada@example.com", password=PASSWORD)

    headers = login("ADA@example.com")

    assert client.get(f"{API}/auth/me", headers=headers).status_code == 200


def test_a_wrong_password_and_an_unknown_person_get_the_same_answer(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        make_person(email="ada@example.com", password=PASSWORD)
        deleted = make_user(email="gone@example.com", password=PASSWORD, deleted_at=clock.now())
        assert deleted.password_hash
    verify, asked = auth.verify_password, []

    def spy(stored: str | None, password: str) -> bool:
        asked.append(stored is None)
        return verify(stored, password)

    monkeypatch.setattr(auth, "verify_password", spy)

    answers = [
        client.post(f"{API}/auth/login", json={"email": email, "password": password})
        for email, password in [
            ("ada@example.com", "wrong"),
            ("bob@example.com", "wrong"),
            ("gone@example.com", PASSWORD),
        ]
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert len({answer.get_data() for answer in answers}) == 1
    assert asked == [False, True, True]  # each was hashed, somebody's hash or not


def test_the_session_is_looked_at_by_each_request(
    app: Flask, client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    assert client.get(f"{API}/auth/me", headers=auth_headers).status_code == 200
    with app.app_context():
        db.session.execute(update(User).where(User.id == owner.user_id).values(deleted_at=clock.now()))
        db.session.commit()

    assert error(client.get(f"{API}/auth/me", headers=auth_headers)) == (401, "INVALID_TOKEN")


def test_logging_out_ends_access_and_refresh_at_once(app: Flask, client: FlaskClient, owner: Person) -> None:
    with app.app_context():
        login = auth.begin_session(owner.user_id)
        other = auth.begin_session(owner.user_id)

    answer = client.post(f"{API}/auth/logout", headers=bearer(login.access_token))

    assert answer.status_code == 204
    assert error(client.get(f"{API}/auth/me", headers=bearer(login.access_token))) == (401, "INVALID_TOKEN")
    refused = client.post(f"{API}/auth/refresh", json={"refresh_token": login.refresh_token})
    assert error(refused) == (401, "INVALID_TOKEN")
    assert client.get(f"{API}/auth/me", headers=bearer(other.access_token)).status_code == 200


def test_an_access_token_lives_fifteen_minutes(client: FlaskClient, auth_headers: dict[str, str]) -> None:
    with time_machine.travel(clock.now() + timedelta(seconds=901), tick=False):
        answer = client.get(f"{API}/auth/me", headers=auth_headers)

    assert error(answer) == (401, "TOKEN_EXPIRED")


def test_forged_tokens_are_refused(app: Flask, client: FlaskClient, auth_headers: dict[str, str]) -> None:
    token = auth_headers["Authorization"].partition(" ")[2]
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "x" * 40, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode({**claims, "sid": str(uuid.uuid4())}, app.config["JWT_SECRET_KEY"], algorithm="HS256"),
        jwt.encode({**claims, "sid": "x"}, app.config["JWT_SECRET_KEY"], algorithm="HS256"),
        jwt.encode({"sub": "x"}, app.config["JWT_SECRET_KEY"], algorithm="HS256"),
        token[:-2],
        "a.b.c",
        "\xff.\xfe.\xfd",
        "x",
    ]

    answers = [error(client.get(f"{API}/auth/me", headers=bearer(found))) for found in forged]

    assert answers == [(401, "INVALID_TOKEN")] * len(forged)


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer ", "token"])
def test_without_a_token_one_is_asked_to_log_in(client: FlaskClient, header: str | None) -> None:
    answer = client.get(f"{API}/auth/me", headers={"Authorization": header} if header is not None else {})

    assert error(answer) == (401, "AUTH_ERROR")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


# -- refreshing


@pytest.mark.usefixtures("database_url")
def test_a_refresh_token_is_exchanged_once_and_reuse_ends_the_login(
    app: Flask, client: FlaskClient, owner: Person
) -> None:
    with app.app_context():
        first = auth.begin_session(owner.user_id).refresh_token

    second = client.post(f"{API}/auth/refresh", json={"refresh_token": first}).get_json()
    assert client.get(f"{API}/auth/me", headers=bearer(second["access_token"])).status_code == 200
    reuse = client.post(f"{API}/auth/refresh", json={"refresh_token": first})
    heir = client.post(f"{API}/auth/refresh", json={"refresh_token": second["refresh_token"]})

    assert error(reuse) == (401, "INVALID_TOKEN")
    assert error(heir) == (401, "INVALID_TOKEN")
    assert error(client.get(f"{API}/auth/me", headers=bearer(second["access_token"]))) == (
        401,
        "INVALID_TOKEN",
    )


def test_an_unused_login_expires_and_its_token_is_stored_as_a_hash(
    app: Flask, client: FlaskClient, owner: Person
) -> None:
    with app.app_context():
        token = auth.begin_session(owner.user_id).refresh_token
        stored = db.session.scalars(select(LoginSession.refresh_hash)).one()

    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        answer = client.post(f"{API}/auth/refresh", json={"refresh_token": token})

    assert error(answer) == (401, "TOKEN_EXPIRED")
    assert token.rpartition("_")[2] not in stored


@pytest.mark.parametrize("token", ["x", "vsr__", "vsr_x_y", f"vsr_{0:032x}_secret"])
def test_a_made_up_refresh_token_is_refused(client: FlaskClient, token: str) -> None:
    assert error(client.post(f"{API}/auth/refresh", json={"refresh_token": token})) == (401, "INVALID_TOKEN")


# -- workspaces


@pytest.mark.usefixtures("database_url")
def test_the_header_chooses_among_ones_own_workspaces(
    app: Flask, client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    with app.app_context():
        team = make_workspace(owner_id=make_user().id, personal=False)
        make_membership(team.id, owner.user_id, role="viewer")
        foreign = make_person().workspace_id

    mine = client.get(f"{API}/auth/me", headers={**auth_headers, "X-Workspace-Id": str(team.id)}).get_json()
    theirs = client.get(f"{API}/auth/me", headers={**auth_headers, "X-Workspace-Id": str(foreign)})
    none = client.get(f"{API}/auth/me", headers={**auth_headers, "X-Workspace-Id": str(uuid.uuid4())})
    broken = client.get(f"{API}/auth/me", headers={**auth_headers, "X-Workspace-Id": "x"})

    assert (mine["workspace_id"], mine["role"]) == (str(team.id), "viewer")
    assert error(theirs) == error(none) == (404, "RESOURCE_NOT_FOUND")
    assert error(broken) == (422, "VALIDATION_ERROR")


def test_too_low_a_role_in_ones_own_workspace_is_403(
    app: Flask, client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    with app.app_context():
        db.session.execute(update(Membership).values(role="editor"))
        db.session.commit()

    answer = client.post(f"{API}/invitations", json={"email": "bob@example.com"}, headers=auth_headers)

    assert error(answer) == (403, "AUTHORIZATION_ERROR")
    assert answer.get_json()["error"]["details"] == {"required_role": "owner", "role": "editor"}
