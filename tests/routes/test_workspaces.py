from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.extensions import db
from app.models import Event
from tests import factories
from tests.factories import Person
from tests.routes.conftest import Body, Send, row

API = "/api/v1"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


@pytest.mark.usefixtures("database_url")
def test_a_made_workspace_belongs_to_whoever_made_it(send: Send) -> None:
    made = send("POST", "/workspaces", {"name": "Studio"})

    assert made.status_code == 201
    listed = send("GET", "/workspaces").get_json()["data"]
    assert [(item["name"], item["role"], item["is_personal"]) for item in listed][1:] == [
        ("Studio", "owner", False)
    ]
    assert send("GET", f"/workspaces/{made.get_json()['id']}").get_json()["name"] == "Studio"


def test_the_path_names_the_workspace_and_another_header_is_refused(send: Send, owner: Person) -> None:
    made = send("POST", "/workspaces", {"name": "Studio"}).get_json()["id"]

    changed = send("PATCH", f"/workspaces/{made}", {"name": "Atelier"})
    contradicted = send("PATCH", f"/workspaces/{made}", {"name": "x"}, X_Workspace_Id=str(owner.workspace_id))

    assert changed.get_json()["name"] == "Atelier"
    assert error(contradicted) == (422, "VALIDATION_ERROR")


def test_another_workspace_does_not_exist(
    client: FlaskClient, owner: Person, other_headers: dict[str, str], api_key_headers: dict[str, str]
) -> None:
    unknown = uuid.uuid4()

    answers = [
        client.get(f"{API}/workspaces/{owner.workspace_id}", headers=other_headers),
        client.patch(f"{API}/workspaces/{owner.workspace_id}", json={"name": "x"}, headers=other_headers),
        client.get(f"{API}/workspaces/{unknown}", headers=api_key_headers),
    ]

    assert [error(answer) for answer in answers] == [(404, "RESOURCE_NOT_FOUND")] * 3


@pytest.mark.usefixtures("database_url")
def test_a_paused_workspace_holds_what_waits_and_tells_so(
    send: Send, body: Body, owner: Person, app: Flask
) -> None:
    target = send("POST", "/posts", body).get_json()["targets"][0]["id"]

    paused = send("POST", f"/workspaces/{owner.workspace_id}/pause")
    again = send("POST", f"/workspaces/{owner.workspace_id}/pause")
    held = row(app, target).hold
    send("POST", f"/workspaces/{owner.workspace_id}/resume")

    assert paused.get_json()["paused_at"] == again.get_json()["paused_at"] is not None
    assert (held, row(app, target).hold) == ("paused", None)
    with app.app_context():
        told = db.session.scalars(select(Event.type).where(Event.type.like("workspace.%")))
        assert list(told) == ["workspace.paused", "workspace.resumed"]


def test_patience_counts_for_posts_made_from_then_on(
    send: Send, body: Body, owner: Person, app: Flask
) -> None:
    send("PATCH", f"/workspaces/{owner.workspace_id}", {"late_after_seconds": 600})

    target = row(app, send("POST", "/posts", body).get_json()["targets"][0]["id"])

    assert target.late_until is not None and target.due_at is not None
    assert (target.late_until - target.due_at).total_seconds() == 600


@pytest.mark.parametrize("changes", [{"name": ""}, {"late_after_seconds": 5}, {"paused_at": None}])
def test_changes_that_make_no_sense_change_nothing(
    send: Send, owner: Person, changes: dict[str, Any]
) -> None:
    before = send("GET", f"/workspaces/{owner.workspace_id}").get_json()

    answer = send("PATCH", f"/workspaces/{owner.workspace_id}", changes)

    assert error(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.get_json()["error"]["details"]) == list(changes)
    assert send("GET", f"/workspaces/{owner.workspace_id}").get_json() == before


def test_an_editor_pauses_but_does_not_rename(app: Flask, client: FlaskClient, owner: Person) -> None:
    with app.app_context():
        key = factories.make_api_key(owner)
    headers = {"X-API-Key": key}

    paused = client.post(f"{API}/workspaces/{owner.workspace_id}/pause", headers=headers)
    renamed = client.patch(f"{API}/workspaces/{owner.workspace_id}", json={"name": "x"}, headers=headers)

    assert paused.status_code == 200
    assert error(renamed) == (403, "AUTHORIZATION_ERROR")


def test_the_usage_says_what_is_stored_and_how_much_may_be(
    app: Flask, client: FlaskClient, owner: Person, auth_headers: dict[str, str]
) -> None:
    with app.app_context():
        factories.make_video(owner.workspace_id, size_bytes=100)

    usage = client.get(f"/api/v1/workspaces/{owner.workspace_id}/usage", headers=auth_headers).get_json()

    assert usage["originals"] == {"count": 1, "bytes": 100}
    assert (usage["counted_bytes"], usage["limit_bytes"]) == (100, None)
