"""Requests nobody means well by, beside their bodies: each ends in a clear refusal, never in an error of ours."""

from __future__ import annotations

import base64
import io
import json
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import clock
from app.extensions import db
from app.models import Connection, Target
from app.models.page import _tag
from app.services import people
from tests import factories
from tests.factories import Person
from tests.routes.conftest import PRIVATE, Body, Send, code

BEYOND = ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")  # no UTC instant in the years 1 to 9999


# -- times and cursors


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("instant", BEYOND)
@pytest.mark.parametrize("name", ["due_from", "due_to"])
def test_an_instant_beyond_the_calendar_is_refused_in_a_filter(send: Send, name: str, instant: str) -> None:
    answer = send("GET", f"/targets?{name}={quote(instant)}")

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert name in answer.json["error"]["details"]


@pytest.mark.parametrize("instant", BEYOND)
def test_an_instant_beyond_the_calendar_is_refused_in_a_body(send: Send, instant: str) -> None:
    answer = send("POST", "/api-keys", {"name": "x", "scopes": ["read"], "expires_at": instant})

    assert code(answer) == (422, "VALIDATION_ERROR")


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("instant", [*BEYOND, "2027-01-01T00:00:00", "x", 7, None, []])
def test_a_made_up_cursor_is_refused_or_leads_nowhere(send: Send, instant: Any) -> None:
    values = [_tag((Target.due_at, Target.id)), instant, uuid.uuid4().hex]
    cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()

    answer = send("GET", f"/targets?cursor={cursor}")

    if instant is None:  # as after the last target with a time
        assert answer.json["data"] == []
    else:
        assert code(answer) == (422, "VALIDATION_ERROR")


# -- broken bodies


class BrokenChunks(io.RawIOBase):
    """What gunicorn gives for a chunked body whose chunks cannot be told apart, or that ends early."""

    def read(self, _size: int = -1) -> bytes:
        raise OSError("Invalid chunk size: b'zz'")


@pytest.mark.parametrize("kind", ["video/mp4", "multipart/form-data; boundary=B"])
def test_broken_chunks_are_the_senders_fault(
    client: FlaskClient, auth_headers: dict[str, str], kind: str
) -> None:
    broken = {
        "wsgi.input": BrokenChunks(),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }

    answer = client.post(
        "/api/v1/videos",
        content_type=kind,
        headers=auth_headers,
        environ_overrides=broken,
    )

    assert code(answer) == (400, "BAD_REQUEST")


# -- what a key may set off


@pytest.fixture
def write_only(app: Flask, owner: Person) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {factories.make_api_key(owner, scopes=('read', 'write'))}"}


@pytest.fixture
def draft(send: Send, body: Body) -> Body:
    """A draft whose one target has a time of its own."""
    at = body.pop("scheduled_at")
    body["targets"][0]["scheduled_at"] = at
    made: Body = send("POST", "/posts", body | {"draft": True}).json
    return made | {"at": at}


def test_a_key_that_may_not_publish_makes_no_draft_go_out(
    client: FlaskClient, write_only: dict[str, str], draft: Body
) -> None:
    answer = client.patch(f"/api/v1/posts/{draft['id']}", json={"draft": False}, headers=write_only)

    assert code(answer) == (403, "AUTHORIZATION_ERROR")


def test_a_key_that_may_not_publish_moves_no_time_but_a_drafts(
    send: Send, client: FlaskClient, write_only: dict[str, str], draft: Body
) -> None:
    address, sooner = f"/api/v1/targets/{draft['targets'][0]['id']}", {"scheduled_at": draft["at"]}

    of_draft = client.patch(address, json=sooner, headers=write_only)
    send("PATCH", f"/posts/{draft['id']}", {"draft": False})
    of_scheduled = client.patch(address, json=sooner, headers=write_only)

    assert of_draft.status_code == 200, of_draft.json
    assert code(of_scheduled) == (403, "AUTHORIZATION_ERROR")


# -- another workspace's ids


BODIES: dict[str, Any] = {
    "update_post": {"caption": "Mine"},
    "update_target": {"caption": "Mine"},
    "edit_video": {"title": "Mine"},
    "resolve_target": {"outcome": "not_published"},
}


@pytest.mark.usefixtures("database_url")
def test_no_address_opens_what_is_another_workspaces(
    app: Flask, client: FlaskClient, owner: Person, send: Send, other_headers: dict[str, str]
) -> None:
    ids = _one_of_each(app, owner, send)
    asked = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/v1/") or not rule.arguments or not rule.arguments <= ids.keys():
            continue  # the newer nouns, and every role besides: test_principals
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            address = rule.rule
            for name in rule.arguments:
                address = address.replace(f"<uuid:{name}>", ids[name])
            json_body = BODIES.get(rule.endpoint.rpartition(".")[2])
            answer = client.open(address, method=method, json=json_body, headers=other_headers)
            asked.append((rule.endpoint, answer.status_code))
    assert len(asked) > 20
    assert [entry for entry in asked if entry[1] != 404] == []


def _one_of_each(app: Flask, owner: Person, send: Send) -> dict[str, str]:
    """Return ids of the owner's by the names they have in addresses; a new kind must be added here."""
    with app.app_context():
        channel, video = factories.make_channel(owner.workspace_id), factories.make_video(owner.workspace_id)
        post = factories.make_post(video, channel, options=PRIVATE)
        ids = {"channel_id": channel.id, "video_id": video.id, "post_id": post.id}
    target = send("GET", f"/posts/{ids['post_id']}").json["targets"][0]["id"]
    key = send("POST", "/api-keys", {"name": "x", "scopes": ["read"]}).json["id"]
    with app.app_context():
        connection = Connection(
            workspace_id=owner.workspace_id,
            platform="tiktok",
            status="authorized",
            state_hash="-",
            nonce_hash="-",
            expires_at=clock.now() + timedelta(minutes=5),
        )
        db.session.add(connection)
        db.session.commit()
        connection_id = str(connection.id)
    return {name: str(id_) for name, id_ in ids.items()} | {
        "target_id": target,
        "key_id": key,
        "connection_id": connection_id,
    }


# -- who is registered here


def test_a_made_up_invitation_tells_nobody_who_is_registered(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        people.create_user(email="ada@example.com", password=factories.PASSWORD)

    answers = [
        client.post(
            "/api/v1/auth/register",
            json={"email": email, "password": factories.PASSWORD, "invitation_token": "made up"},
        )
        for email in ("ada@example.com", "nobody@example.com")
    ]

    assert answers[0].json == answers[1].json
    assert code(answers[0]) == (401, "INVALID_TOKEN")


def test_a_password_typed_as_an_address_is_not_logged(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post("/api/v1/auth/login", json={"email": "hunter-three", "password": "x"})

    written = capsys.readouterr().out
    assert "Failed login attempt" in written
    assert "hunter-three" not in written


def test_no_address_asked_for_moves_the_cursor_of_a_terminal(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.get("/%1b%5b2J%0aFAKE%c2%9b%e2%80%ae")

    written = capsys.readouterr().out
    assert "\\x1b[2J\\nFAKE\\x9b\\u202e" in written
    assert not any(char in written for char in "\x1b\x9b\u202e")
