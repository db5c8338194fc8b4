"""Adding channels to a post and taking some away, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models import Target
from tests import factories
from tests.factories import Person
from tests.routes.conftest import Body, Send, code, count, row, set_state

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def other_channel(app: Flask, owner: Person) -> str:
    with app.app_context():
        return str(factories.make_channel(owner.workspace_id).id)


@pytest.fixture
def post(send: Send, body: Body) -> Any:
    return send("POST", "/posts", body).json


def test_a_channel_is_added_with_the_posts_time_and_nothing_else_is_touched(
    app: Flask, send: Send, post: Any, other_channel: str
) -> None:
    set_state(app, post["targets"][0]["id"], state="staged", handle_encrypted="kept", fence=7)

    answer = send("PATCH", f"/posts/{post['id']}", {"add_targets": [{"channel_id": other_channel}]})

    assert (answer.status_code, answer.json["version"], answer.json["status"]) == (200, 2, "scheduled")
    old, new = answer.json["targets"]
    assert (new["channel"]["id"], new["stage"], new["due_at"]) == (other_channel, "scheduled", old["due_at"])
    assert new["late_until"] == old["late_until"] and new["next_at"] is not None
    stored = row(app, old["id"])
    assert (stored.state, stored.handle_encrypted, stored.fence) == ("staged", "kept", 7)


def test_what_is_added_may_have_words_of_its_own(send: Send, post: Any, other_channel: str) -> None:
    target = {"channel_id": other_channel, "caption": "Mine"}

    answer = send("PATCH", f"/posts/{post['id']}", {"caption": "Ours", "add_targets": [target]})

    assert [item["caption"] for item in answer.json["targets"]] == [None, "Mine"]
    assert answer.json["caption"] == "Ours"


def test_what_is_added_to_a_draft_is_a_draft(send: Send, body: Body, other_channel: str) -> None:
    at = body.pop("scheduled_at")
    draft = send("POST", "/posts", body | {"draft": True}).json
    path, added = f"/posts/{draft['id']}", {"add_targets": [{"channel_id": other_channel}]}

    more = send("PATCH", path, added)
    scheduled = send("PATCH", path, {"scheduled_at": at})

    assert [item["stage"] for item in more.json["targets"]] == ["draft", "draft"]
    assert [(item["stage"], item["due_at"]) for item in scheduled.json["targets"]] == [("scheduled", at)] * 2


def test_a_removed_target_is_cancelled_and_told_of(
    app: Flask, send: Send, post: Any, other_channel: str
) -> None:
    first = post["targets"][0]["id"]
    change = {"remove_targets": [first], "add_targets": [{"channel_id": other_channel}]}

    answer = send("PATCH", f"/posts/{post['id']}", change)

    assert [item["stage"] for item in answer.json["targets"]] == ["cancelled", "scheduled"]
    assert answer.json["status"] == "scheduled"
    types = [event["type"] for event in send("GET", "/events").json["data"]]
    assert types[2:] == ["target.cancelled", "target.scheduled", "post.updated"]
    assert row(app, first).next_at is None


def test_a_post_all_of_whose_targets_are_removed_is_cancelled(send: Send, post: Any) -> None:
    answer = send("PATCH", f"/posts/{post['id']}", {"remove_targets": [post["targets"][0]["id"]]})

    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")


def test_an_added_target_is_checked_like_a_new_one(send: Send, post: Any, other_channel: str) -> None:
    target = {"channel_id": other_channel, "caption": "x" * 3000}

    answer = send("PATCH", f"/posts/{post['id']}", {"add_targets": [target]})

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
    assert list(answer.json["error"]["details"]) == ["add_targets.0.caption"]
    assert send("GET", f"/posts/{post['id']}").json == post


def test_what_went_to_the_added_channel_lately_is_refused(
    send: Send, body: Body, post: Any, other_channel: str
) -> None:
    send("POST", "/posts", body | {"targets": [{"channel_id": other_channel}]})

    answer = send("PATCH", f"/posts/{post['id']}", {"add_targets": [{"channel_id": other_channel}]})

    assert code(answer) == (400, "REPOST_TOO_SOON")


@pytest.mark.parametrize("state", ["scheduled", "cancelled"])
def test_a_channel_the_post_has_already_is_refused(app: Flask, send: Send, post: Any, state: str) -> None:
    target = post["targets"][0]
    set_state(app, target["id"], state=state)
    twice = [{"channel_id": target["channel"]["id"]}]

    answer = send("PATCH", f"/posts/{post['id']}", {"add_targets": twice})

    expected = (409, "STATE_CONFLICT") if state == "cancelled" else (422, "VALIDATION_ERROR")
    assert code(answer) == expected
    assert count(app, Target) == 1


def test_a_channel_named_twice_or_cancelled_before_is_refused(
    app: Flask, send: Send, body: Body, other_channel: str
) -> None:
    body["targets"].append({"channel_id": other_channel})
    post = send("POST", "/posts", body).json
    set_state(app, post["targets"][1]["id"], state="cancelled")
    again = [{"channel_id": other_channel}] * 2

    answer = send("PATCH", f"/posts/{post['id']}", {"add_targets": again})

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.json["error"]["details"]) == ["add_targets.0.channel_id", "add_targets.1.channel_id"]


@pytest.mark.parametrize("state", ["publishing", "published", "unknown"])
def test_what_is_out_is_not_removed(app: Flask, send: Send, post: Any, state: str) -> None:
    target_id = post["targets"][0]["id"]
    set_state(app, target_id, state=state)

    answer = send("PATCH", f"/posts/{post['id']}", {"remove_targets": [target_id]})

    assert code(answer) == (409, "STATE_CONFLICT")
    assert row(app, target_id).state == state


def test_another_posts_target_and_another_workspaces_channel_do_not_exist(
    app: Flask, send: Send, body: Body, post: Any
) -> None:
    with app.app_context():
        theirs = str(factories.make_channel(factories.make_person().workspace_id).id)
    del body["scheduled_at"]
    other = send("POST", "/posts", body | {"draft": True}).json["targets"][0]["id"]

    answers = [
        send("PATCH", f"/posts/{post['id']}", change)
        for change in ({"remove_targets": [other]}, {"add_targets": [{"channel_id": theirs}]})
    ]

    assert [code(answer) for answer in answers] == [(404, "RESOURCE_NOT_FOUND")] * 2


def test_adding_needs_the_version_that_was_read_and_the_right_to_publish(
    app: Flask, client: FlaskClient, owner: Person, send: Send, post: Any, other_channel: str
) -> None:
    path, change = f"/posts/{post['id']}", {"add_targets": [{"channel_id": other_channel}]}
    with app.app_context():
        key = factories.make_api_key(owner, scopes=("read", "write"))

    stale = send("PATCH", path, change, If_Match='"7"')
    unentitled = client.patch(f"/api/v1{path}", json=change, headers={"Authorization": f"Bearer {key}"})

    assert code(stale) == (412, "PRECONDITION_FAILED")
    assert unentitled.status_code == 403
    assert count(app, Target) == 1
