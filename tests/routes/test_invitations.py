from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Mail
from app.services import people
from tests.factories import PASSWORD, Person, make_access_token, make_person
from tests.routes.conftest import Send

API = "/api/v1"
BOB = "bob@example.com"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def login_of(app: Flask, email: str) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {make_access_token(make_person(email=email))}"}


def invite(send: Send, **body: str) -> Any:
    return send("POST", "/invitations", {"email": BOB, "role": "viewer"} | body).get_json()


@pytest.mark.usefixtures("database_url")
def test_open_invitations_are_listed_without_their_tokens_and_taken_back(
    client: FlaskClient, send: Send
) -> None:
    made = invite(send)

    listed = send("GET", "/invitations")
    withdrawn = send("DELETE", f"/invitations/{made['id']}")

    assert [item["email"] for item in listed.get_json()["data"]] == [BOB]
    assert made["token"] not in listed.get_data(as_text=True)
    assert withdrawn.status_code == 204
    assert send("GET", "/invitations").get_json()["data"] == []
    body = {"email": BOB, "password": PASSWORD, "invitation_token": made["token"]}
    assert error(client.post(f"{API}/auth/register", json=body)) == (401, "INVALID_TOKEN")


@pytest.mark.usefixtures("database_url")
def test_who_has_an_account_joins_with_the_token_once(
    app: Flask, client: FlaskClient, send: Send, owner: Person
) -> None:
    bob, token = login_of(app, BOB), invite(send)["token"]

    joined = client.post(f"{API}/invitations/accept", json={"token": token}, headers=bob)
    again = client.post(f"{API}/invitations/accept", json={"token": token}, headers=bob)

    assert (joined.get_json()["id"], joined.get_json()["role"]) == (str(owner.workspace_id), "viewer")
    assert error(again) == (401, "INVALID_TOKEN")
    here = bob | {"X-Workspace-Id": str(owner.workspace_id)}
    assert client.get(f"{API}/members", headers=here).status_code == 200


def test_an_invitation_is_for_its_address_and_stays_good_after_a_stranger(
    app: Flask, client: FlaskClient, send: Send
) -> None:
    eve, token = login_of(app, "eve@example.com"), invite(send)["token"]

    refused = client.post(f"{API}/invitations/accept", json={"token": token}, headers=eve)

    assert error(refused) == (422, "VALIDATION_ERROR")
    bob = login_of(app, BOB)
    assert client.post(f"{API}/invitations/accept", json={"token": token}, headers=bob).status_code == 200


def test_a_member_is_not_joined_twice(app: Flask, client: FlaskClient, send: Send) -> None:
    bob = login_of(app, BOB)
    client.post(f"{API}/invitations/accept", json={"token": invite(send)["token"]}, headers=bob)

    again = client.post(f"{API}/invitations/accept", json={"token": invite(send)["token"]}, headers=bob)

    assert error(again) == (409, "RESOURCE_ALREADY_EXISTS")
    assert len(send("GET", "/invitations").get_json()["data"]) == 1


def test_an_invitation_expires_after_a_week(app: Flask, client: FlaskClient, send: Send) -> None:
    token = invite(send)["token"]

    with time_machine.travel(clock.now() + timedelta(days=7, minutes=1)):
        bob = login_of(app, BOB)
        late = client.post(f"{API}/invitations/accept", json={"token": token}, headers=bob)

    assert error(late) == (401, "INVALID_TOKEN")


@pytest.mark.shows_secrets("a form that was filled in wrongly is given back to who sent it")
def test_it_is_mailed_and_its_page_makes_the_account(app: Flask, client: FlaskClient, send: Send) -> None:
    token = invite(send)["token"]
    with app.app_context():
        assert [mail.recipient for mail in db.session.scalars(select(Mail))] == [BOB]

    shown = client.get("/invitation", query_string={"token": token})
    form = {"invitation_token": token, "email": BOB, "name": "<b>Bob</b>", "password": PASSWORD}
    wrong = client.post("/invitation", data=form | {"email": "eve@example.com"})
    taken = client.post("/invitation", data=form)

    assert token in shown.get_data(as_text=True)
    assert (wrong.status_code, "another address" in wrong.get_data(as_text=True)) == (422, True)
    assert "<b>Bob</b>" not in wrong.get_data(as_text=True)
    assert taken.status_code == 200
    login = client.post(f"{API}/auth/login", json={"email": BOB, "password": PASSWORD})
    assert login.status_code == 200


def test_a_person_invites_thirty_times_an_hour(send: Send) -> None:
    found = [
        send("POST", "/invitations", {"email": f"{number}@example.com", "role": "viewer"}).status_code
        for number in range(31)
    ]

    assert found == [201] * 30 + [429]


def test_a_name_adds_no_lines_to_the_mail_it_stands_in() -> None:
    assert people._in_one_line("Ada\r\n\nPay here:\u2028 http://x") == "Ada Pay here: http://x"
