from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app import clock
from app.extensions import db
from app.models import ChannelContent, Target
from app.models.limits import ContentUse
from tests.routes.conftest import Body, Send, code, count, row, set_state


@pytest.fixture
def published(app: Flask, send: Send, body: Body) -> dict[str, Any]:
    """A post that went out an hour ago."""
    body["targets"][0]["caption"] = "Its own"
    post: dict[str, Any] = send("POST", "/posts", body | {"labels": ["a"], "metadata": {"k": 1}}).get_json()
    id_ = post["targets"][0]["id"]
    went_at = clock.now() - timedelta(hours=1)
    set_state(app, id_, state="published", committed_at=went_at, published_at=went_at, due_at=went_at)
    target = row(app, id_)
    with app.app_context():
        use = ContentUse(target.channel_id, target.content_hash, target.id)
        ChannelContent.reserve_many([use], at=went_at)
        db.session.commit()
    return post


@pytest.mark.usefixtures("database_url")
def test_a_duplicate_is_a_draft_with_everything_but_the_time(send: Send, published: dict[str, Any]) -> None:
    made = send("POST", f"/posts/{published['id']}/duplicate")

    draft = made.get_json()
    assert (made.status_code, draft["status"], draft["scheduled_at"]) == (201, "draft", None)
    same = ("title", "caption", "video_id", "options", "labels", "metadata")
    assert {name: draft[name] for name in same} == {name: published[name] for name in same}
    (target,) = draft["targets"]
    assert (target["caption"], target["due_at"], target["permalink"]) == ("Its own", None, None)


@pytest.mark.usefixtures("database_url")
def test_a_repost_within_24_hours_is_refused_with_when_it_is_allowed(
    app: Flask, send: Send, published: dict[str, Any]
) -> None:
    refused = send("POST", f"/posts/{published['id']}/repost", {"publish_now": True})

    assert code(refused) == (400, "REPOST_TOO_SOON")
    details = refused.get_json()["error"]["details"]
    assert details.keys() == {"platform", "hours_remaining", "next_allowed_at"}
    assert 22.9 < details["hours_remaining"] < 23.1
    assert count(app, Target) == 1


@pytest.mark.usefixtures("database_url")
def test_a_repost_may_wait_for_the_first_time_that_is_allowed(
    app: Flask, send: Send, published: dict[str, Any]
) -> None:
    went_at = row(app, published["targets"][0]["id"]).committed_at
    assert went_at is not None

    made = send("POST", f"/posts/{published['id']}/repost", {"at_next_allowed": True, "caption": "Again"})

    assert made.status_code == 201, made.get_json()
    (target,) = made.get_json()["targets"]
    assert row(app, target["id"]).due_at == went_at + timedelta(hours=24)
    assert (made.get_json()["caption"], target["caption"], target["status"]) == ("Again", None, "scheduled")


def test_a_repost_at_a_later_time_is_planned(send: Send, published: dict[str, Any]) -> None:
    later = clock.isoformat(clock.now() + timedelta(hours=24))

    made = send("POST", f"/posts/{published['id']}/repost", {"scheduled_at": later})

    assert made.status_code == 201
    assert made.get_json()["targets"][0]["due_at"] == later


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"at_next_allowed": True, "publish_now": True}, "at_next_allowed"),
        ({"publish_now": True, "channel_ids": ["00000000-0000-7000-8000-000000000000"]}, "channel_ids"),
        ({"publish_now": True, "channel_ids": []}, "channel_ids"),
        ({"now": True}, "now"),
    ],
)
def test_a_repost_that_makes_no_sense_is_refused(
    send: Send, published: dict[str, Any], asked: dict[str, Any], field: str
) -> None:
    answer = send("POST", f"/posts/{published['id']}/repost", asked)

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.get_json()["error"]["details"]) == [field]


def test_a_repost_needs_a_time(send: Send, published: dict[str, Any]) -> None:
    assert code(send("POST", f"/posts/{published['id']}/repost", {}))[0] == 400


def test_the_same_key_reposts_once(app: Flask, send: Send, published: dict[str, Any]) -> None:
    path, body = f"/posts/{published['id']}/repost", {"at_next_allowed": True}

    first = send("POST", path, body, Idempotency_Key="k1")
    second = send("POST", path, body, Idempotency_Key="k1")

    assert first.get_json()["id"] == second.get_json()["id"]
    assert count(app, Target) == 2


def test_posts_of_another_workspace_are_not_copied(
    client: Any, published: dict[str, Any], other_headers: dict[str, str]
) -> None:
    for path, body in (("duplicate", None), ("repost", {"publish_now": True})):
        answer = client.post(f"/api/v1/posts/{published['id']}/{path}", json=body, headers=other_headers)
        assert code(answer) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("verb", ["repost", "duplicate"])
def test_what_was_taken_off_is_not_posted_to_again(
    app: Flask, send: Send, published: dict[str, Any], verb: str
) -> None:
    set_state(app, published["targets"][0]["id"], state="cancelled")
    later = {"scheduled_at": clock.isoformat(clock.now() + timedelta(hours=25))} if verb == "repost" else None

    made = send("POST", f"/posts/{published['id']}/{verb}", later)

    if verb == "repost":
        assert code(made) == (422, "VALIDATION_ERROR")
        assert "channel_ids" in made.get_json()["error"]["details"]
    else:  # of a post that was cancelled as a whole everything comes back
        assert [target["status"] for target in made.get_json()["targets"]] == ["draft"]


def test_what_is_to_happen_over_quota_is_copied(send: Send, body: Body) -> None:
    post = send("POST", "/posts", body | {"if_over_quota": "defer"}).get_json()

    made = send("POST", f"/posts/{post['id']}/duplicate").get_json()

    assert [target["if_over_quota"] for target in made["targets"]] == ["defer"]
