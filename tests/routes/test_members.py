from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.domain.principal import Role
from app.extensions import db
from app.models import ApiKey, Membership
from app.services import api_keys, auth
from tests.factories import Person, make_membership, make_person, make_user, make_workspace

API = "/api/v1"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


class Team:
    """A shared workspace with an owner and whoever joins; asks the API as any of them."""

    def __init__(self, app: Flask) -> None:
        self.app, self.client = app, app.test_client()
        with app.app_context():
            self.owner = make_person().user_id
            self.id = make_workspace(owner_id=self.owner, personal=False).id

    def join(self, role: Role) -> uuid.UUID:
        with self.app.app_context():
            user = make_user()
            make_membership(self.id, user.id, role=role)
            return user.id

    def ask(self, who: uuid.UUID, method: str, path: str, **options: Any) -> Any:
        with self.app.app_context():
            token = auth.begin_session(who).access_token
        headers = {"Authorization": f"Bearer {token}", "X-Workspace-Id": str(self.id)}
        return self.client.open(f"{API}{path}", method=method, headers=headers, **options)

    def roles(self) -> dict[uuid.UUID, str]:
        with self.app.app_context():
            query = select(Membership).where(Membership.workspace_id == self.id)
            return {row.user_id: row.role for row in db.session.scalars(query)}


@pytest.fixture
def team(app: Flask) -> Team:
    return Team(app)


@pytest.mark.usefixtures("database_url")
def test_members_are_listed_with_their_roles_longest_first(team: Team) -> None:
    viewer = team.join("viewer")

    first = team.ask(viewer, "GET", "/members?limit=1").get_json()
    second = team.ask(viewer, "GET", f"/members?cursor={first['pagination']['next_cursor']}").get_json()

    assert [(item["user_id"], item["role"]) for item in first["data"] + second["data"]] == [
        (str(team.owner), "owner"),
        (str(viewer), "viewer"),
    ]
    assert second["pagination"]["has_more"] is False


@pytest.mark.usefixtures("database_url")
def test_an_owner_gives_roles_and_they_count_at_once(team: Team) -> None:
    member = team.join("viewer")
    assert error(team.ask(member, "POST", "/invitations", json={"email": "b@example.com"}))[0] == 403

    changed = team.ask(team.owner, "PATCH", f"/members/{member}", json={"role": "owner"})

    assert changed.get_json()["role"] == "owner"
    assert team.ask(member, "POST", "/invitations", json={"email": "b@example.com"}).status_code == 201


def test_the_last_owner_stays_one(team: Team) -> None:
    demoted = team.ask(team.owner, "PATCH", f"/members/{team.owner}", json={"role": "editor"})
    left = team.ask(team.owner, "DELETE", f"/members/{team.owner}")

    assert error(demoted) == error(left) == (409, "STATE_CONFLICT")
    assert team.roles() == {team.owner: "owner"}


@pytest.mark.usefixtures("database_url")
def test_of_two_owners_who_leave_at_the_same_moment_one_stays(team: Team) -> None:
    other = team.join("owner")

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(team.ask, who, "DELETE", f"/members/{who}") for who in (team.owner, other)]
        statuses = sorted(answer.result().status_code for answer in asked)

    assert statuses == [204, 409]
    assert list(team.roles().values()) == ["owner"]


def test_who_leaves_loses_the_workspace_and_the_keys_made_there(team: Team) -> None:
    editor = team.join("editor")
    with team.app.app_context():
        person = Person(editor, team.id, "")
        key = api_keys.create_api_key(person.principal, name="theirs", scopes=["read"]).key

    assert team.ask(editor, "DELETE", f"/members/{editor}").status_code == 204

    assert error(team.ask(editor, "GET", "/members")) == (404, "RESOURCE_NOT_FOUND")
    refused = team.client.get(f"{API}/channels", headers={"X-API-Key": key})
    assert error(refused) == (401, "INVALID_TOKEN")
    with team.app.app_context():
        assert db.session.scalars(select(ApiKey)).one().revoked_at is not None


def test_only_owners_take_others_out(team: Team) -> None:
    editor, viewer = team.join("editor"), team.join("viewer")

    refused = team.ask(editor, "DELETE", f"/members/{viewer}")

    assert error(refused) == (403, "AUTHORIZATION_ERROR")
    assert team.ask(team.owner, "DELETE", f"/members/{viewer}").status_code == 204
    assert viewer not in team.roles()
    assert error(team.ask(team.owner, "DELETE", f"/members/{viewer}")) == (404, "RESOURCE_NOT_FOUND")


def test_a_transfer_makes_another_member_the_owner(team: Team) -> None:
    editor = team.join("editor")

    answer = team.ask(team.owner, "POST", f"/workspaces/{team.id}/transfer", json={"user_id": str(editor)})

    assert answer.get_json()["role"] == "owner"
    assert team.roles() == {team.owner: "editor", editor: "owner"}


def test_ones_own_workspace_can_neither_be_left_nor_given_away(
    client: FlaskClient, owner: Person, auth_headers: dict[str, str], app: Flask
) -> None:
    with app.app_context():
        other = make_user()
        make_membership(owner.workspace_id, other.id, role="owner")
        other_id = str(other.id)

    left = client.delete(f"{API}/members/{owner.user_id}", headers=auth_headers)
    given = client.post(
        f"{API}/workspaces/{owner.workspace_id}/transfer", json={"user_id": other_id}, headers=auth_headers
    )

    assert error(left) == error(given) == (409, "STATE_CONFLICT")


def test_members_of_another_workspace_do_not_exist_here(
    client: FlaskClient, owner: Person, other_headers: dict[str, str]
) -> None:
    for method in ("PATCH", "DELETE"):
        answer = client.open(
            f"{API}/members/{owner.user_id}", method=method, json={"role": "viewer"}, headers=other_headers
        )
        assert error(answer) == (404, "RESOURCE_NOT_FOUND")
