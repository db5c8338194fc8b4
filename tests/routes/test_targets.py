"""Targets over HTTP: the worklist, another try, and what a person found out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Attempt, Channel, ChannelContent, Post, Target
from tests import factories
from tests.factories import Person
from tests.routes.conftest import PRIVATE, Send, code, row


@pytest.fixture
def make_target(app: Flask, owner: Person) -> Callable[..., str]:
    """Make a post with one target whose columns are given; returns the target's id."""

    def make(*, channel_status: str = "active", **columns: Any) -> str:
        with app.app_context():
            video = factories.make_video(owner.workspace_id)
            channel = factories.make_channel(owner.workspace_id, status=channel_status)
            post = factories.make_post(video, channel, options=PRIVATE)
            target = db.session.execute(
                update(Target).where(Target.post_id == post.id).values(**columns).returning(Target.id)
            ).scalar_one()
            Post.refresh_status([post.id])
            db.session.commit()
            return str(target)

    return make


# -- finding


@pytest.mark.usefixtures("database_url")
def test_the_worklist_is_ordered_by_due_time_and_filtered(
    send: Send, make_target: Callable[..., str]
) -> None:
    now = clock.now()
    late = make_target(due_at=now + timedelta(hours=9))
    soon = make_target(due_at=now + timedelta(hours=1))
    failed = make_target(due_at=now - timedelta(hours=1), state="failed")
    held = make_target(due_at=now + timedelta(hours=5), hold="reconnect")

    def listed(query: str = "") -> list[str]:
        return [item["id"] for item in send("GET", f"/targets{query}").json["data"]]

    assert listed() == [failed, soon, held, late]
    assert listed("?status=failed") == [failed]
    assert listed("?needs_action=true") == [failed, held]
    assert listed("?needs_action=false") == [soon, late]
    until = clock.isoformat(now + timedelta(hours=5)).replace("+", "%2B")
    assert listed(f"?due_from={clock.isoformat(now)}&due_to={until}") == [soon]


@pytest.mark.usefixtures("database_url")
def test_pages_of_the_worklist_meet_without_gap_or_overlap(
    send: Send, make_target: Callable[..., str]
) -> None:
    at = clock.now() + timedelta(hours=1)
    made = [make_target(due_at=at) for _ in range(3)] + [make_target(due_at=None)]

    first = send("GET", "/targets?limit=2").json
    second = send("GET", f"/targets?limit=2&cursor={first['pagination']['next_cursor']}").json

    assert [item["id"] for item in first["data"] + second["data"]] == made
    assert second["pagination"] == {"next_cursor": None, "has_more": False}


@pytest.mark.parametrize("query", ["status=lost", "due_from=2027-01-01T00:00:00", "limit=0", "channel=x"])
def test_a_filter_that_makes_no_sense_is_refused(send: Send, query: str) -> None:
    assert code(send("GET", f"/targets?{query}")) == (422, "VALIDATION_ERROR")


def test_another_workspaces_target_does_not_exist(
    client: FlaskClient, make_target: Callable[..., str], other_headers: dict[str, str]
) -> None:
    path = f"/api/v1/targets/{make_target(state='failed')}"
    asked = [
        client.get(path, headers=other_headers),
        client.get(f"{path}/attempts", headers=other_headers),
        client.patch(path, json={"caption": "Mine"}, headers=other_headers),
        client.post(f"{path}/cancel", headers=other_headers),
        client.post(f"{path}/retry", headers=other_headers),
        client.post(f"{path}/resolve", json={"outcome": "not_published"}, headers=other_headers),
    ]
    assert [code(answer) for answer in asked] == [(404, "RESOURCE_NOT_FOUND")] * 6


def test_an_error_says_how_long_to_wait(send: Send, make_target: Callable[..., str]) -> None:
    retry_at = clock.isoformat(clock.now() + timedelta(seconds=90))
    error = {"code": "PLATFORM_RATE_LIMIT", "message": "Slow down.", "details": {}, "retry_at": retry_at}

    found = send("GET", f"/targets/{make_target(error=error)}").json["error"]

    assert found["code"] == "PLATFORM_RATE_LIMIT"
    assert 80 <= found["retry_after"] <= 90


def test_attempts_are_the_ledger_oldest_first(
    app: Flask, owner: Person, send: Send, make_target: Callable[..., str]
) -> None:
    target_id = make_target()
    with app.app_context():
        for operation in ("stage", "commit"):
            ids = {"workspace_id": owner.workspace_id, "target_id": uuid.UUID(target_id)}
            db.session.add(Attempt(operation=operation, fence=1, details={}, **ids))
            db.session.commit()

    found = send("GET", f"/targets/{target_id}/attempts").json["data"]

    assert [(item["operation"], item["outcome"]) for item in found] == [("stage", None), ("commit", None)]


# -- another try


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("state", ["failed", "missed"])
def test_another_try_begins_afresh(
    app: Flask, send: Send, make_target: Callable[..., str], state: str
) -> None:
    target_id = make_target(state=state, handle_encrypted="old", retries=4, error={"code": "X"}, next_at=None)

    answer = send("POST", f"/targets/{target_id}/retry", {})

    assert answer.status_code == 200, answer.json
    assert (answer.json["status"], answer.json["error"], answer.json["retries"]) == ("scheduled", None, 0)
    stored = row(app, target_id)
    assert (stored.handle_encrypted, stored.next_at) == (None, stored.due_at)
    assert stored.due_at is not None and stored.late_until == stored.due_at + timedelta(hours=2)
    assert send("GET", f"/posts/{stored.post_id}").json["status"] == "scheduled"


def test_another_try_may_have_a_time(send: Send, make_target: Callable[..., str]) -> None:
    at = clock.isoformat(clock.now() + timedelta(days=3))

    answer = send("POST", f"/targets/{make_target(state='failed')}/retry", {"scheduled_at": at})

    assert answer.json["due_at"] == at


def test_another_try_needs_no_body(send: Send, make_target: Callable[..., str]) -> None:
    assert send("POST", f"/targets/{make_target(state='failed')}/retry").status_code == 200


@pytest.mark.parametrize("state", ["scheduled", "publishing", "published", "cancelled", "unknown"])
def test_only_what_failed_or_was_missed_is_tried_again(
    send: Send, make_target: Callable[..., str], state: str
) -> None:
    answer = send("POST", f"/targets/{make_target(state=state)}/retry", {})

    assert code(answer) == (409, "STATE_CONFLICT")
    assert answer.json["error"]["details"] == {"state": state, "allowed": ["failed", "missed"]}


def test_another_try_is_checked_like_a_new_post(send: Send, make_target: Callable[..., str]) -> None:
    too_long = make_target(state="failed", caption="x" * 3000)
    unplugged = make_target(state="failed", channel_status="disconnected")

    answers = [send("POST", f"/targets/{id_}/retry", {}) for id_ in (too_long, unplugged)]

    assert [code(answer) for answer in answers] == [(422, "PLATFORM_VALIDATION_ERROR")] * 2
    assert [set(answer.json["error"]["details"]) for answer in answers] == [{"caption"}, {"channel_id"}]


def test_another_try_too_near_the_same_content_is_refused(
    app: Flask, send: Send, make_target: Callable[..., str]
) -> None:
    target_id = make_target(state="failed")
    target = row(app, target_id)
    with app.app_context():
        same = {"channel_id": target.channel_id, "content_hash": target.content_hash}
        db.session.add(ChannelContent(**same, target_id=uuid.uuid4(), last_at=clock.now()))
        db.session.commit()

    assert code(send("POST", f"/targets/{target_id}/retry", {})) == (400, "REPOST_TOO_SOON")


def test_a_retry_with_a_key_happens_once(send: Send, make_target: Callable[..., str]) -> None:
    path = f"/targets/{make_target(state='failed')}/retry"

    first, again = (send("POST", path, {}, Idempotency_Key="r") for _ in range(2))

    assert (again.status_code, again.json) == (200, first.json)


# -- changing and stopping one


@pytest.mark.usefixtures("database_url")
def test_a_target_is_changed_and_taken_back(app: Flask, send: Send, make_target: Callable[..., str]) -> None:
    target_id = make_target(state="staged", handle_encrypted="old", fence=5)

    answer = send("PATCH", f"/targets/{target_id}", {"caption": "Only here"})

    assert (answer.status_code, answer.json["caption"]) == (200, "Only here")
    stored = row(app, target_id)
    assert (stored.state, stored.handle_encrypted, stored.fence) == ("scheduled", None, 6)
    assert send("GET", f"/posts/{stored.post_id}").json["version"] == 2


@pytest.mark.usefixtures("database_url")
def test_a_target_is_changed_under_the_version_it_shows(
    app: Flask, send: Send, make_target: Callable[..., str]
) -> None:
    target_id = make_target()
    path, post = f"/targets/{target_id}", f"/posts/{row(app, target_id).post_id}"
    read = send("GET", path)

    changed = send("PATCH", path, {"caption": "Only here"}, If_Match=read.headers["ETag"])
    late = send("PATCH", path, {"caption": "Too late"}, If_Match=str(read.json["version"]))

    assert (read.json["version"], read.headers["ETag"]) == (1, '"1"')
    assert (changed.status_code, changed.json["version"], changed.headers["ETag"]) == (200, 2, '"2"')
    assert code(late) == (412, "PRECONDITION_FAILED")
    assert send("GET", post).json["targets"][0]["version"] == send("GET", post).json["version"] == 2
    assert [item["version"] for item in send("GET", "/targets").json["data"]] == [2]
    stopped, again = (send("POST", f"{path}/cancel", Idempotency_Key="once") for _ in range(2))
    assert (stopped.headers["ETag"], again.headers["ETag"]) == ('"2"', '"2"')


def test_what_failed_is_corrected_before_it_is_tried_again(
    send: Send, make_target: Callable[..., str]
) -> None:
    path = f"/targets/{make_target(state='failed', caption='x' * 3000)}"

    still_too_long = send("PATCH", path, {"caption": "y" * 2500})
    corrected = send("PATCH", path, {"caption": "short"})

    assert code(still_too_long) == (422, "PLATFORM_VALIDATION_ERROR")
    assert (corrected.json["status"], corrected.json["caption"]) == ("failed", "short")
    assert send("POST", f"{path}/retry", {}).status_code == 200


def test_a_time_of_its_own_comes_and_goes(app: Flask, send: Send, make_target: Callable[..., str]) -> None:
    target_id = make_target()
    own = clock.isoformat(clock.now() + timedelta(days=9))
    posts_time = send("GET", f"/posts/{row(app, target_id).post_id}").json["scheduled_at"]

    times = [
        send("PATCH", f"/targets/{target_id}", {"scheduled_at": at}).json["due_at"] for at in (own, None)
    ]

    assert times == [own, posts_time]


@pytest.mark.parametrize("state", ["publishing", "confirming", "published", "unknown", "cancelled"])
def test_what_has_gone_out_is_not_changed(send: Send, make_target: Callable[..., str], state: str) -> None:
    path = f"/targets/{make_target(state=state)}"

    assert code(send("PATCH", path, {"caption": "Too late"})) == (409, "STATE_CONFLICT")


@pytest.mark.parametrize("state", ["publishing", "confirming", "published", "failed"])
def test_cancelling_too_late_says_the_state(send: Send, make_target: Callable[..., str], state: str) -> None:
    answer = send("POST", f"/targets/{make_target(state=state)}/cancel")

    assert code(answer) == (409, "STATE_CONFLICT")
    assert answer.json["error"]["details"]["state"] == state


def test_cancelling_twice_is_no_error(send: Send, make_target: Callable[..., str]) -> None:
    path = f"/targets/{make_target()}/cancel"

    assert [send("POST", path).json["status"] for _ in range(2)] == ["cancelled", "cancelled"]


# -- what a person found out


@pytest.mark.usefixtures("database_url")
def test_a_person_says_it_was_published(send: Send, make_target: Callable[..., str]) -> None:
    target_id = make_target(state="unknown", committed_at=clock.now())
    body = {"outcome": "published", "url": "https://example.com/v/1"}

    answer = send("POST", f"/targets/{target_id}/resolve", body)

    assert (answer.json["status"], answer.json["permalink"]) == ("published", body["url"])
    assert answer.json["published_at"] is not None


def test_a_person_says_it_was_not_and_tries_again(send: Send, make_target: Callable[..., str]) -> None:
    path = f"/targets/{make_target(state='unknown', committed_at=clock.now())}"

    resolved = send("POST", f"{path}/resolve", {"outcome": "not_published"}).json
    retried = send("POST", f"{path}/retry", {})

    assert (resolved["status"], resolved["error"]["code"]) == ("failed", "NOT_PUBLISHED")
    assert retried.status_code == 200


def test_only_an_unknown_end_is_resolved(send: Send, make_target: Callable[..., str]) -> None:
    answer = send("POST", f"/targets/{make_target(state='failed')}/resolve", {"outcome": "published"})

    assert code(answer) == (409, "STATE_CONFLICT")


@pytest.mark.parametrize(
    "body",
    [
        {"outcome": "maybe"},
        {"outcome": "published", "url": "javascript:alert(1)"},
        {"outcome": "not_published", "url": "https://example.com"},
    ],
)
def test_a_finding_that_makes_no_sense_is_refused(
    send: Send, make_target: Callable[..., str], body: dict[str, str]
) -> None:
    answer = send("POST", f"/targets/{make_target(state='unknown')}/resolve", body)

    assert code(answer) == (422, "VALIDATION_ERROR")


# -- pausing


@pytest.mark.usefixtures("database_url")
def test_a_paused_channel_holds_its_targets_until_it_is_resumed(
    app: Flask, send: Send, make_target: Callable[..., str]
) -> None:
    target_id, other_id = make_target(), make_target()
    channel_id = row(app, target_id).channel_id

    paused = send("POST", f"/channels/{channel_id}/pause").json
    holds = [row(app, id_).hold for id_ in (target_id, other_id)]
    resumed = send("POST", f"/channels/{channel_id}/resume").json

    assert paused["paused_at"] is not None and resumed["paused_at"] is None
    assert holds == ["paused", None]
    assert row(app, target_id).hold is None


def test_a_disconnected_channel_holds_its_targets_and_forgets_its_tokens(
    app: Flask, send: Send, make_target: Callable[..., str]
) -> None:
    target_id = make_target()
    channel_id = row(app, target_id).channel_id

    assert send("DELETE", f"/channels/{channel_id}").status_code == 204
    assert send("DELETE", f"/channels/{channel_id}").status_code == 204

    assert row(app, target_id).hold == "reconnect"
    assert send("GET", "/channels").json["data"] == []
    assert send("GET", "/channels?status=disconnected").json["data"][0]["id"] == str(channel_id)
    assert code(send("POST", f"/channels/{channel_id}/pause")) == (409, "STATE_CONFLICT")
    with app.app_context():
        from app.models import Credential
        from app.services.credentials import reveal

        channel = db.session.get_one(Channel, channel_id)
        old = db.session.get_one(Credential, channel.credential_id)
        assert (old.status, old.refresh_token_encrypted, old.next_at) == ("revoked", None, None)
        assert reveal(old.id, "access_token", old.access_token_encrypted) == ""


def test_another_workspaces_channel_does_not_exist(
    app: Flask, client: FlaskClient, make_target: Callable[..., str], other_headers: dict[str, str]
) -> None:
    path = f"/api/v1/channels/{row(app, make_target()).channel_id}"
    asked = [
        client.get(path, headers=other_headers),
        client.post(f"{path}/pause", headers=other_headers),
        client.post(f"{path}/resume", headers=other_headers),
        client.delete(path, headers=other_headers),
    ]
    assert [code(answer) for answer in asked] == [(404, "RESOURCE_NOT_FOUND")] * 4
