"""Posts over HTTP: what is accepted, what is refused and why, and what a change does to work under way."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import clock
from app.extensions import db
from app.models import Channel, ChannelContent, Event, Post, Target
from tests import factories
from tests.factories import Person

Body = dict[str, Any]
Send = Callable[..., Any]
NEXT_YEAR = clock.now().year + 1
PRIVATE = {"tiktok": {"privacy_level": "SELF_ONLY"}}


@pytest.fixture
def send(client: FlaskClient, auth_headers: dict[str, str]) -> Send:
    """Ask the API as the owner; returns the response."""

    def ask(method: str, path: str, json: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(f"/api/v1{path}", method=method, json=json, headers=auth_headers | named)

    return ask


@pytest.fixture
def body(app: Flask, owner: Person) -> Body:
    """A post that is accepted: one ready video, one channel, tomorrow."""
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id)
        video = factories.make_video(owner.workspace_id, title="A title", description="A description")
        return {
            "video_id": str(video.id),
            "caption": "Hello",
            "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
            "options": PRIVATE,
            "targets": [{"channel_id": str(channel.id)}],
        }


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def set_state(app: Flask, target_id: str, **columns: Any) -> None:
    with app.app_context():
        db.session.execute(update(Target).where(Target.id == uuid.UUID(target_id)).values(**columns))
        db.session.commit()


def row(app: Flask, target_id: str) -> Target:
    with app.app_context():
        found = db.session.get_one(Target, uuid.UUID(target_id))
        db.session.expunge(found)
        return found


def count(app: Flask, model: type) -> int:
    with app.app_context():
        return len(db.session.scalars(select(model)).all())


# -- making


@pytest.mark.usefixtures("database_url")
def test_a_post_is_scheduled_with_its_targets(app: Flask, send: Send, body: Body) -> None:
    answer = send("POST", "/posts", body)

    assert answer.status_code == 201, answer.json
    post, target = answer.json, answer.json["targets"][0]
    assert (post["status"], post["title"], post["caption"]) == ("scheduled", "A title", "Hello")
    assert (target["status"], target["stage"], target["hold"]) == ("scheduled", "scheduled", None)
    assert target["due_at"] == post["scheduled_at"] == body["scheduled_at"]
    assert target["guarantee"] == "resumable"
    assert target["channel"]["id"] == body["targets"][0]["channel_id"]
    assert target["attempts_url"].endswith(f"/api/v1/targets/{target['id']}/attempts")
    stored = row(app, target["id"])
    assert stored.due_at is not None and stored.next_at == stored.due_at - timedelta(minutes=40)
    assert stored.late_until == stored.due_at + timedelta(hours=2)


def test_the_answer_is_what_is_read_later(send: Send, body: Body) -> None:
    made = send("POST", "/posts", body).json

    read = send("GET", f"/posts/{made['id']}")

    assert read.json == made
    assert read.headers["ETag"] == '"1"'


def test_a_local_time_in_a_gap_is_shifted_and_the_answer_says_so(send: Send, body: Body) -> None:
    del body["scheduled_at"]
    march_31 = date(NEXT_YEAR, 3, 31)
    last_sunday = march_31 - timedelta(days=(march_31.weekday() + 1) % 7)  # when clocks go forward in Berlin
    local = f"{last_sunday}T02:30"

    made = send("POST", "/posts", body | {"scheduled_local": local, "timezone": "Europe/Berlin"}).json

    assert made["scheduled_at"] == f"{last_sunday}T01:30:00Z"
    assert (made["timezone"], made["scheduled_local"]) == ("Europe/Berlin", f"{local}:00")
    assert "03:30" in made["schedule_note"]


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ({"scheduled_at": f"{NEXT_YEAR}-01-31T18:00:00"}, "naive"),
        ({"scheduled_at": "2020-01-31T18:00:00Z"}, "past"),
        ({"scheduled_at": "2099-01-31T18:00:00Z"}, "too_far"),
        ({"scheduled_at": "soon"}, "malformed"),
        (
            {"scheduled_at": f"{NEXT_YEAR}-01-31T18:00:00+05:00", "timezone": "Europe/Berlin"},
            "offset_contradicts_zone",
        ),
        ({"scheduled_local": f"{NEXT_YEAR}-01-31T18:00", "timezone": "Europe/Atlantis"}, "unknown_zone"),
        ({"scheduled_local": f"{NEXT_YEAR}-01-31T18:00"}, "missing"),
        ({"publish_now": True, "draft": True}, "ambiguous"),
        ({}, "missing"),
    ],
)
def test_a_time_that_cannot_be_meant_changes_nothing(
    app: Flask, send: Send, body: Body, when: Body, reason: str
) -> None:
    del body["scheduled_at"]

    answer = send("POST", "/posts", body | when)

    assert code(answer) == (400, "INVALID_SCHEDULE_TIME")
    assert answer.json["error"]["details"]["reason"] == reason
    assert (count(app, Post), count(app, Target), count(app, Event)) == (0, 0, 0)


def test_a_caption_is_counted_as_its_platform_counts(send: Send, body: Body) -> None:
    fits = send("POST", "/posts?dry_run=true", body | {"caption": "😀" * 1100})
    too_long = send("POST", "/posts", body | {"caption": "😀" * 1101})

    assert fits.status_code == 200
    assert code(too_long) == (422, "PLATFORM_VALIDATION_ERROR")
    (problem,) = too_long.json["error"]["details"]["targets.0.caption"]
    assert "2202" in problem and "2200" in problem


def test_all_problems_of_all_targets_are_told_at_once(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        gone = factories.make_channel(owner.workspace_id, status="disconnected")
        long = factories.make_video(
            owner.workspace_id, facts=factories.FACTS.to_dict() | {"duration_seconds": 3600.0}
        )
        body["targets"].append({"channel_id": str(gone.id), "video_id": str(long.id)})
    body["targets"][0] |= {"caption": "x" * 2201, "options": {"privacy_level": "EVERYBODY"}}

    details = send("POST", "/posts", body).json["error"]["details"]

    assert set(details) == {
        "targets.0.caption", "targets.0.options.privacy_level", "targets.1.channel_id", "targets.1.video_id",
    }  # fmt: skip
    assert "600" in details["targets.1.video_id"][0]


def test_the_options_of_a_platform_nobody_has_are_refused(send: Send, body: Body) -> None:
    answer = send("POST", "/posts", body | {"options": PRIVATE | {"tiktokk": {}}})

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "options.tiktokk" in answer.json["error"]["details"]


def test_a_channel_named_twice_is_refused(send: Send, body: Body) -> None:
    answer = send("POST", "/posts", body | {"targets": body["targets"] * 2})

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert set(answer.json["error"]["details"]) == {"targets.1.channel_id"}


@pytest.mark.parametrize("noun", ["channel", "video"])
def test_what_belongs_to_another_workspace_does_not_exist(
    app: Flask, send: Send, body: Body, noun: str
) -> None:
    with app.app_context():
        elsewhere = factories.make_person().workspace_id
        make = factories.make_channel if noun == "channel" else factories.make_video
        foreign = str(make(elsewhere).id)
    body["targets"][0][f"{noun}_id"] = foreign

    answer = send("POST", "/posts", body)

    assert code(answer) == (404, "RESOURCE_NOT_FOUND")
    assert answer.json["error"]["details"] == {"resource_type": noun.capitalize(), "resource_id": foreign}


@pytest.mark.parametrize(
    ("columns", "hold"),
    [({"paused_at": clock.now()}, "paused"), ({"status": "needs_reconnect"}, "reconnect"), ({}, None)],
)
def test_what_stands_in_the_way_is_told_by_the_answer_and_the_dry_run(
    app: Flask, owner: Person, send: Send, body: Body, columns: Body, hold: str | None
) -> None:
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id, **columns)
        body["targets"] = [{"channel_id": str(channel.id)}]

    holds = [
        send("POST", f"/posts{query}", body).json["targets"][0]["hold"] for query in ("?dry_run=true", "")
    ]

    assert holds == [hold, hold]


@pytest.mark.usefixtures("database_url")
def test_a_video_still_processing_holds_its_targets(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        video = factories.make_video(owner.workspace_id, state="processing", facts=None)

    made = send(
        "POST", "/posts", body | {"video_id": str(video.id), "publish_now": True, "scheduled_at": None}
    )

    assert made.status_code == 201
    assert made.json["targets"][0]["hold"] == "media"


@pytest.mark.parametrize("state", ["rejected", "archived"])
def test_a_video_that_cannot_be_used_is_refused(
    app: Flask, owner: Person, send: Send, body: Body, state: str
) -> None:
    with app.app_context():
        video = factories.make_video(owner.workspace_id, state=state, error={"message": "It is a playlist."})

    answer = send("POST", "/posts", body | {"video_id": str(video.id)})

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")


def test_a_dry_run_stores_nothing(app: Flask, send: Send, body: Body) -> None:
    answer = send("POST", "/posts?dry_run=true", body, Idempotency_Key="k1")

    assert (answer.status_code, answer.json["dry_run"], answer.json["status"]) == (200, True, "scheduled")
    assert "id" not in answer.json and "id" not in answer.json["targets"][0]
    assert (count(app, Post), count(app, Target), count(app, Event)) == (0, 0, 0)


def test_a_draft_may_be_unfinished(send: Send, body: Body) -> None:
    del body["scheduled_at"]

    made = send("POST", "/posts", body | {"draft": True, "options": {}, "caption": "x" * 3000})

    assert made.status_code == 201
    assert (made.json["status"], made.json["targets"][0]["due_at"]) == ("draft", None)


def test_a_target_has_its_own_time_text_and_video(app: Flask, owner: Person, send: Send, body: Body) -> None:
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id)
        video = factories.make_video(owner.workspace_id, title="Another", description="Other words")
    at = clock.isoformat(clock.now() + timedelta(days=2))
    body["targets"].append({"channel_id": str(channel.id), "video_id": str(video.id), "scheduled_at": at})

    first, second = send("POST", "/posts", body).json["targets"]

    assert (first["title"], first["due_at"], first["caption"]) == (None, body["scheduled_at"], None)
    assert (second["title"], second["due_at"], second["caption"]) == ("Another", at, None)


def test_events_tell_of_the_post_and_its_targets(app: Flask, send: Send, body: Body) -> None:
    send("POST", "/posts", body)

    found = send("GET", "/events").json

    assert [event["type"] for event in found["data"]] == ["post.created", "target.scheduled"]
    later = send("GET", f"/events?after={found['pagination']['next_cursor']}").json
    assert (later["data"], later["pagination"]["has_more"]) == ([], False)


@pytest.mark.usefixtures("database_url")
def test_fifty_targets_cost_as_many_queries_as_two(app: Flask, owner: Person, send: Send, body: Body) -> None:
    from sqlalchemy import event

    with app.app_context():
        ids = [str(factories.make_channel(owner.workspace_id).id) for _ in range(50)]
        engine, statements = db.engine, []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def cost(number: int) -> int:
        statements.clear()
        video = body | {"targets": [{"channel_id": id_} for id_ in ids[:number]]}
        assert send("POST", "/posts", video).status_code == 201
        return len(statements)

    two = cost(2)
    with app.app_context():
        body["video_id"] = str(factories.make_video(owner.workspace_id).id)
    assert cost(50) == two


# -- the same content again


def test_the_same_content_within_a_day_is_too_soon(send: Send, body: Body) -> None:
    send("POST", "/posts", body)
    at = clock.now() + timedelta(days=1, hours=20)

    answer = send("POST", "/posts", body | {"scheduled_at": clock.isoformat(at), "caption": "Other words"})

    assert code(answer) == (400, "REPOST_TOO_SOON")
    details = answer.json["error"]["details"]
    assert details["platform"] == "tiktok"
    assert 3.9 < details["hours_remaining"] <= 4.0
    assert send("POST", "/posts", body | {"scheduled_at": details["next_allowed_at"]}).status_code == 201


def test_content_the_channel_had_by_another_way_counts(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        channel_id = uuid.UUID(body["targets"][0]["channel_id"])
        video = factories.make_video(owner.workspace_id)
        db.session.add(
            ChannelContent(
                channel_id=channel_id, content_hash=video.sha256, target_id=uuid.uuid4(), last_at=clock.now()
            )
        )
        db.session.commit()

    answer = send(
        "POST", "/posts", body | {"video_id": str(video.id), "scheduled_at": None, "publish_now": True}
    )

    assert code(answer) == (400, "REPOST_TOO_SOON")


@pytest.mark.parametrize("state", ["failed", "cancelled", "missed", "draft"])
def test_what_did_not_go_out_stands_in_nobodys_way(app: Flask, send: Send, body: Body, state: str) -> None:
    made = send("POST", "/posts", body).json
    set_state(app, made["targets"][0]["id"], state=state)

    assert send("POST", "/posts", body).status_code == 201


# -- once


@pytest.mark.usefixtures("database_url")
def test_the_same_request_with_its_key_is_answered_again(app: Flask, send: Send, body: Body) -> None:
    first = send("POST", "/posts", body, Idempotency_Key="k1")

    again = send("POST", "/posts", body, Idempotency_Key="k1")

    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert count(app, Post) == 1


def test_a_key_used_for_another_request_is_refused(send: Send, body: Body) -> None:
    send("POST", "/posts", body, Idempotency_Key="k1")

    answer = send("POST", "/posts", body | {"caption": "Other"}, Idempotency_Key="k1")

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "Idempotency-Key" in answer.json["error"]["details"]


def test_a_refused_request_does_not_use_its_key_up(send: Send, body: Body) -> None:
    assert send("POST", "/posts", body | {"options": {}}, Idempotency_Key="k1").status_code == 422

    assert send("POST", "/posts", body, Idempotency_Key="k1").status_code == 201


def test_a_key_that_cannot_be_one_is_refused(send: Send, body: Body) -> None:
    assert code(send("POST", "/posts", body, Idempotency_Key="k" * 256)) == (422, "VALIDATION_ERROR")


# -- finding


def test_posts_are_listed_newest_first_by_status(app: Flask, owner: Person, send: Send, body: Body) -> None:
    first = send("POST", "/posts", body).json
    draft = {key: value for key, value in body.items() if key != "scheduled_at"} | {"draft": True}
    second = send("POST", "/posts", draft).json

    everything = send("GET", "/posts").json["data"]
    drafts = send("GET", "/posts?status=draft").json["data"]

    assert [post["id"] for post in everything] == [second["id"], first["id"]]
    assert [post["id"] for post in drafts] == [second["id"]]


def test_another_workspaces_post_does_not_exist(
    client: FlaskClient, send: Send, body: Body, other_headers: dict[str, str]
) -> None:
    path = f"/api/v1/posts/{send('POST', '/posts', body).json['id']}"

    asked = [client.get(path), client.patch(path, json={"caption": "Mine"}), client.post(f"{path}/cancel")]
    assert [answer.status_code for answer in asked] == [401, 401, 401]
    foreign = [
        client.get(path, headers=other_headers),
        client.patch(path, json={"caption": "Mine"}, headers=other_headers),
        client.post(f"{path}/cancel", headers=other_headers),
        client.post(f"{path}/publish-now", headers=other_headers),
        client.get(f"{path}/timeline", headers=other_headers),
    ]
    assert [code(answer) for answer in foreign] == [(404, "RESOURCE_NOT_FOUND")] * 5


def test_a_key_without_publish_may_plan_drafts_only(
    app: Flask, owner: Person, client: FlaskClient, body: Body
) -> None:
    with app.app_context():
        headers = {"X-API-Key": factories.make_api_key(owner, scopes=("read", "write"))}
    draft = {key: value for key, value in body.items() if key != "scheduled_at"} | {"draft": True}

    scheduled = client.post("/api/v1/posts", json=body, headers=headers)
    planned = client.post("/api/v1/posts", json=draft, headers=headers)

    assert code(scheduled) == (403, "AUTHORIZATION_ERROR")
    assert (planned.status_code, planned.json["created_via"]) == (201, "api_key")


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
    draft = send("POST", "/posts", body | {"draft": True, "options": {}}).json

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
    draft = send("POST", "/posts", body | {"draft": True, "options": {}}).json

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


# -- telling


def test_the_timeline_tells_the_story_oldest_first(send: Send, body: Body) -> None:
    post = send("POST", "/posts", body).json
    send("PATCH", f"/posts/{post['id']}", {"caption": "New"})
    send("POST", f"/posts/{post['id']}/cancel")

    story = send("GET", f"/posts/{post['id']}/timeline").json["data"]

    assert [entry["sentence"] for entry in story] == [
        "The post was made.",
        "TikTok (ada) was scheduled.",
        "The post was changed.",
        "TikTok (ada) was cancelled.",
    ]


def test_stored_status_is_what_the_targets_add_up_to(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        body["targets"].append({"channel_id": str(factories.make_channel(owner.workspace_id).id)})
    post = send("POST", "/posts", body).json

    send("POST", f"/targets/{post['targets'][0]['id']}/cancel")
    half = send("GET", f"/posts/{post['id']}").json["status"]
    send("POST", f"/targets/{post['targets'][1]['id']}/cancel")
    whole = send("GET", f"/posts/{post['id']}").json["status"]

    assert (half, whole) == ("scheduled", "cancelled")


def test_a_channels_name_is_shown_beside_its_target(app: Flask, send: Send, body: Body) -> None:
    with app.app_context():
        channel = db.session.get_one(Channel, uuid.UUID(body["targets"][0]["channel_id"]))
        name = channel.username

    assert send("POST", "/posts", body).json["targets"][0]["channel"]["username"] == name
