"""Posts over HTTP: what is accepted, what is refused and why."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import clock
from app.extensions import db
from app.models import Channel, Event, Post, Target
from tests import factories
from tests.factories import Person
from tests.routes.conftest import PRIVATE, Body, Send, code, count, row

NEXT_YEAR = clock.now().year + 1


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
        "verdicts",
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


@pytest.mark.usefixtures("database_url")
def test_posts_are_listed_by_label_channel_and_time(send: Send, body: Body) -> None:
    plain, labelled = (send("POST", "/posts", body | {"draft": True, "scheduled_at": None} | more).json["id"]
                       for more in ({}, {"labels": ["bakery"]}))  # fmt: skip
    on = f"channel_id={body['targets'][0]['channel_id']}"
    today = f"created_from={clock.now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"

    asked = [
        "label=bakery",
        f"{on}&label=bakery",
        f"{on}&status=draft",
        f"{today}&{on}",
        f"{today}&status=failed",
    ]
    found = [[post["id"] for post in send("GET", f"/posts?{query}").json["data"]] for query in asked]

    assert found == [[labelled], [labelled], [labelled, plain], [labelled, plain], []]


@pytest.mark.parametrize(
    "query", ["label=", f"label={'x' * 51}", "channel_id=x", "created_from=2027-01-31T18:00:00", "labels=a"]
)
def test_a_filter_that_cannot_be_meant_is_refused(send: Send, query: str) -> None:
    for path in ("/posts", "/posts/export"):
        answer = send("GET", f"{path}?{query}")

        assert code(answer) == (422, "VALIDATION_ERROR")
        assert list(answer.json["error"]["details"]) == [query.partition("=")[0]]


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
    for name in ("after", "cursor"):
        later = send("GET", f"/events?{name}={found['pagination']['next_cursor']}").json
        assert (later["data"], later["pagination"]["has_more"]) == ([], False)
    assert [event["type"] for event in send("GET", "/events?limit=1").json["data"]] == ["post.created"]
    assert code(send("GET", "/events?after=1&cursor=1")) == (422, "VALIDATION_ERROR")


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
