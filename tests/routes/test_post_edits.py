"""Changing, stopping and hurrying posts over HTTP, and what that does to work under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Post
from tests import factories
from tests.factories import Person
from tests.routes.conftest import PRIVATE, Body, Send, code, row, set_state

UNSAID = {"tiktok": {"mode": "direct"}}  # who may see the post is missing


@pytest.fixture
def post(send: Send, body: Body) -> Body:
    """A scheduled post with one target, as it is shown."""
    made: Body = send("POST", "/posts", body).json
    return made


# -- changing


def test_a_time_makes_a_draft_a_scheduled_post(send: Send, body: Body) -> None:
    at = body.pop("scheduled_at")
    draft = send("POST", "/posts", body | {"draft": True}).json

    answer = send("PATCH", f"/posts/{draft['id']}", {"scheduled_at": at})

    assert answer.status_code == 200, answer.json
    assert (answer.json["status"], answer.json["version"], answer.headers["ETag"]) == ("scheduled", 2, '"2"')
    assert answer.json["targets"][0]["due_at"] == at


def test_a_draft_is_checked_when_it_is_scheduled(send: Send, body: Body) -> None:
    at = body.pop("scheduled_at")
    draft = send("POST", "/posts", body | {"draft": True, "options": UNSAID}).json

    answer = send("PATCH", f"/posts/{draft['id']}", {"scheduled_at": at})

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
    assert send("GET", f"/posts/{draft['id']}").json == draft


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("state", ["scheduled", "staging", "staged"])
def test_an_edit_takes_back_what_a_worker_prepared(app: Flask, send: Send, body: Body, state: str) -> None:
    post = send("POST", "/posts", body).json
    target_id = post["targets"][0]["id"]
    lease = clock.now() + timedelta(seconds=30)
    set_state(app, target_id, state=state, handle_encrypted="old", fence=7, lease_until=lease, retries=2)

    answer = send("PATCH", f"/posts/{post['id']}", {"caption": "New words"})

    assert answer.status_code == 200, answer.json
    stored = row(app, target_id)
    assert (stored.state, stored.handle_encrypted, stored.fence) == ("scheduled", None, 8)
    assert (stored.lease_until, stored.retries) == (None, 0)


@pytest.mark.parametrize("where", ["post", "target"])
@pytest.mark.parametrize("state", ["scheduled", "staging", "staged"])
def test_another_time_keeps_what_is_uploaded(
    app: Flask, send: Send, body: Body, state: str, where: str
) -> None:
    post = send("POST", "/posts", body).json
    target_id = post["targets"][0]["id"]
    ends = clock.now() + timedelta(days=2)
    set_state(app, target_id, state=state, handle_encrypted="kept", handle_expires_at=ends, fence=7)
    at = (clock.now() + timedelta(hours=5)).replace(microsecond=0)
    path = f"/posts/{post['id']}" if where == "post" else f"/targets/{target_id}"

    answer = send("PATCH", path, {"scheduled_at": clock.isoformat(at)})

    assert answer.status_code == 200, answer.json
    stored = row(app, target_id)
    assert (stored.state, stored.handle_encrypted) == ("staged" if state == "staged" else "scheduled", "kept")
    assert (stored.due_at, stored.fence, stored.lease_until) == (at, 8, None)
    if state == "staged":
        assert stored.next_at == at - timedelta(seconds=60)  # for its preflight: it need not be staged again


@pytest.mark.parametrize("left", [timedelta(minutes=10), timedelta(hours=5, seconds=90)])
def test_an_upload_that_ends_before_the_new_time_is_made_anew_when_staging_for_that_would_begin(
    app: Flask, send: Send, body: Body, left: timedelta
) -> None:
    target_id = send("POST", "/posts", body).json["targets"][0]["id"]
    at = (clock.now() + timedelta(hours=5)).replace(microsecond=0)
    ends = clock.now() + left
    set_state(app, target_id, state="staged", handle_encrypted="kept", handle_expires_at=ends)

    send("PATCH", f"/targets/{target_id}", {"scheduled_at": clock.isoformat(at)})

    stored = row(app, target_id)
    assert (stored.state, stored.next_at) == ("staged", at - timedelta(minutes=40))


def test_an_edit_leaves_alone_what_it_does_not_touch(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    body["targets"][0]["caption"] = "My own"
    post = send("POST", "/posts", body).json
    target_id = post["targets"][0]["id"]
    set_state(app, target_id, state="staged", handle_encrypted="kept", fence=7)

    send("PATCH", f"/posts/{post['id']}", {"caption": "New words", "labels": ["spring"]})

    stored = row(app, target_id)
    assert (stored.state, stored.handle_encrypted, stored.fence) == ("staged", "kept", 7)


def test_labels_may_change_after_publishing(app: Flask, send: Send, body: Body) -> None:
    post = send("POST", "/posts", body).json
    set_state(app, post["targets"][0]["id"], state="published")

    labelled = send("PATCH", f"/posts/{post['id']}", {"labels": ["spring"], "metadata": {"campaign": 7}})
    reworded = send("PATCH", f"/posts/{post['id']}", {"caption": "Too late"})

    assert (labelled.json["labels"], labelled.json["metadata"]) == (["spring"], {"campaign": 7})
    assert code(reworded) == (409, "STATE_CONFLICT")


def test_a_new_time_moves_targets_that_have_none_of_their_own(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id)
    own, new = (clock.isoformat(clock.now() + timedelta(days=days)) for days in (5, 3))
    body["targets"].append({"channel_id": str(channel.id), "scheduled_at": own})
    post = send("POST", "/posts", body).json

    changed = send("PATCH", f"/posts/{post['id']}", {"scheduled_at": new}).json

    assert [target["due_at"] for target in changed["targets"]] == [new, own]


def test_draft_takes_a_scheduled_post_back(app: Flask, send: Send, body: Body) -> None:
    post = send("POST", "/posts", body).json
    set_state(app, post["targets"][0]["id"], state="staged")

    changed = send("PATCH", f"/posts/{post['id']}", {"draft": True}).json

    assert (changed["status"], changed["scheduled_at"]) == ("draft", None)
    assert (changed["targets"][0]["due_at"], changed["targets"][0]["next_at"]) == (None, None)


def test_what_waits_to_go_out_is_changed_only_by_those_who_may_let_it_out(
    app: Flask, client: FlaskClient, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        key = factories.make_api_key(owner, scopes=("read", "write"))
    post = send("POST", "/posts", body).json
    path, target = f"/api/v1/posts/{post['id']}", f"/api/v1/targets/{post['targets'][0]['id']}"

    def change(where: str, **changes: Any) -> int:
        return client.patch(where, json=changes, headers={"Authorization": f"Bearer {key}"}).status_code

    assert [change(path, caption="New"), change(target, caption="New")] == [403, 403]
    assert send("GET", f"/posts/{post['id']}").json["caption"] == "Hello"
    assert [change(path, labels=["spring"]), change(path, metadata={"row": 1})] == [200, 200]
    assert change(path, draft=True, caption="Taken back, then written anew") == 200
    assert [change(path, caption="A draft is only a draft"), change(target, caption="Newer")] == [200, 200]


@pytest.mark.parametrize("if_match", ['"1"', "1", 'W/"1"', "*"])
def test_an_edit_of_the_version_that_was_read_is_made(send: Send, body: Body, if_match: str) -> None:
    post = send("POST", "/posts", body).json

    assert send("PATCH", f"/posts/{post['id']}", {"caption": "New"}, If_Match=if_match).status_code == 200


@pytest.mark.parametrize("if_match", ['"2"', '"abc"', '"99999999999999999999"'])
def test_an_edit_of_another_version_is_refused(send: Send, body: Body, if_match: str) -> None:
    post = send("POST", "/posts", body).json

    answer = send("PATCH", f"/posts/{post['id']}", {"caption": "New"}, If_Match=if_match)

    assert code(answer) == (412, "PRECONDITION_FAILED")
    assert send("GET", f"/posts/{post['id']}").json == post


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else changes a post whenever a request has read it."""

    def change(post: Post, _placed: Any) -> None:
        later = update(Post).where(Post.id == post.id).values(version=Post.version + 1)
        db.session.execute(later.execution_options(synchronize_session=False))

    monkeypatch.setattr("app.services.edits.check", change)


EDITS = [("PATCH", "/posts/{}", {"caption": "New"}), ("PATCH", "/targets/{}", {"caption": "New"})]


@pytest.mark.usefixtures("hurried", "database_url")
@pytest.mark.parametrize(("method", "path", "change"), [*EDITS, ("POST", "/posts/{}/publish-now", None)])
def test_a_change_at_the_same_moment_as_anothers_is_told_to_try_again(
    send: Send, post: Body, method: str, path: str, change: Any
) -> None:
    answer = send(method, path.format(_id(post, path)), change)

    assert code(answer) == (409, "STATE_CONFLICT")
    assert "at the same moment" in answer.json["error"]["message"]
    assert send("GET", f"/posts/{post['id']}").json == post


@pytest.mark.usefixtures("hurried", "database_url")
@pytest.mark.parametrize(("method", "path", "change"), EDITS)
def test_who_asked_for_the_version_that_was_read_is_told_that_it_is_gone(
    send: Send, post: Body, method: str, path: str, change: Any
) -> None:
    answer = send(method, path.format(_id(post, path)), change, If_Match='"1"')

    assert code(answer) == (412, "PRECONDITION_FAILED")
    assert send("GET", f"/posts/{post['id']}").json == post


def _id(post: Body, path: str) -> str:
    return str(post["targets"][0]["id"] if path.startswith("/targets") else post["id"])


# -- versions


@pytest.mark.parametrize("how", ["publish-now", "cancel", "duplicate", "repost"])
def test_whatever_makes_or_moves_a_post_says_its_etag_twice(
    app: Flask, send: Send, post: Body, how: str
) -> None:
    if how == "repost":
        set_state(app, post["targets"][0]["id"], state="published")
    later = {"scheduled_at": clock.isoformat(clock.now() + timedelta(days=3))}
    path, asked = f"/posts/{post['id']}/{how}", later if how == "repost" else None

    first, again = (send("POST", path, asked, Idempotency_Key="once") for _ in range(2))

    assert (first.headers["ETag"], again.headers["ETag"]) == (f'"{first.json["version"]}"',) * 2
    assert again.headers["Idempotency-Replayed"] == "true"
    shown = send("GET", f"/posts/{first.json['id']}")
    assert shown.headers["ETag"] == first.headers["ETag"]


def test_an_edit_follows_the_etag_of_what_was_made(send: Send, body: Body) -> None:
    made, again = (send("POST", "/posts", body, Idempotency_Key="once") for _ in range(2))

    path, etag = f"/posts/{made.json['id']}", again.headers["ETag"]
    answers = [send("PATCH", path, {"caption": word}, If_Match=etag) for word in ("New", "Newer")]

    assert (made.headers["ETag"], [answer.status_code for answer in answers]) == (etag, [200, 412])


def test_a_dry_run_has_no_version(send: Send, body: Body) -> None:
    answer = send("POST", "/posts?dry_run=true", body)

    assert "ETag" not in answer.headers
    assert "version" not in answer.json and "version" not in answer.json["targets"][0]


# -- stopping, and now


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("state", ["draft", "scheduled", "staging", "staged"])
def test_cancel_wins_until_the_intent_is_written(app: Flask, send: Send, body: Body, state: str) -> None:
    post = send("POST", "/posts", body).json
    set_state(app, post["targets"][0]["id"], state=state, handle_encrypted="x", fence=3)

    answer = send("POST", f"/posts/{post['id']}/cancel")

    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    stored = row(app, post["targets"][0]["id"])
    assert (stored.state, stored.next_at, stored.fence, stored.handle_encrypted) == (
        "cancelled",
        None,
        4,
        None,
    )
    assert send("POST", f"/posts/{post['id']}/cancel").status_code == 200


@pytest.mark.parametrize("state", ["publishing", "confirming", "published", "unknown"])
def test_cancel_after_the_intent_says_how_far_it_is(app: Flask, send: Send, body: Body, state: str) -> None:
    post = send("POST", "/posts", body).json
    target_id = post["targets"][0]["id"]
    set_state(app, target_id, state=state)

    answer = send("POST", f"/posts/{post['id']}/cancel")

    assert code(answer) == (409, "STATE_CONFLICT")
    assert answer.json["error"]["details"]["targets"] == {target_id: state}
    assert row(app, target_id).state == state


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize(
    ("state", "after", "handle"),
    [("scheduled", "scheduled", "kept"), ("staging", "scheduled", "kept"), ("staged", "staged", "kept")],
)
def test_publish_now_keeps_what_is_uploaded(
    app: Flask, send: Send, body: Body, state: str, after: str, handle: str
) -> None:
    post = send("POST", "/posts", body).json
    set_state(app, post["targets"][0]["id"], state=state, handle_encrypted="kept", fence=3)

    answer = send("POST", f"/posts/{post['id']}/publish-now")

    assert answer.status_code == 200, answer.json
    stored = row(app, post["targets"][0]["id"])
    assert (stored.state, stored.handle_encrypted, stored.fence) == (after, handle, 4)
    assert stored.due_at == stored.next_at and stored.due_at is not None
    assert clock.now() - stored.due_at < timedelta(seconds=20)


def test_publish_now_checks_a_draft_first(send: Send, body: Body) -> None:
    del body["scheduled_at"]
    draft = send("POST", "/posts", body | {"draft": True, "options": UNSAID}).json

    refused = send("POST", f"/posts/{draft['id']}/publish-now")
    send("PATCH", f"/posts/{draft['id']}", {"options": PRIVATE})
    done = send("POST", f"/posts/{draft['id']}/publish-now")

    assert code(refused) == (422, "PLATFORM_VALIDATION_ERROR")
    assert (done.status_code, done.json["status"]) == (200, "scheduled")


def test_publish_now_twice_with_one_key_happens_once(send: Send, body: Body) -> None:
    post = send("POST", "/posts", body).json

    first, again = (send("POST", f"/posts/{post['id']}/publish-now", Idempotency_Key="n") for _ in range(2))

    assert first.json == again.json
    assert again.headers["Idempotency-Replayed"] == "true"
