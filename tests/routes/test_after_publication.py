"""What follows a post, its figures and its removal, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError
from app.extensions import db
from app.models import Attempt, Event, Step
from app.platforms.base import Stats
from tests import factories
from tests.factories import Person
from tests.routes.conftest import Send, code, row, set_state
from tests.services.afterwards import Afterwards, install


@pytest.fixture
def platform(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    with app.app_context():
        return install(monkeypatch)


@pytest.fixture
def target_id(app: Flask, owner: Person, platform: Afterwards) -> str:
    return published(app, owner)


def published(app: Flask, owner: Person, *kinds: str) -> str:
    """Make a published target with steps of these kinds; return its id."""
    with app.app_context():
        video, channel = factories.make_video(owner.workspace_id), factories.make_channel(owner.workspace_id)
        post = factories.make_post(video, status="published")
        columns = {"remote_id": "r1", "permalink": "https://example.com/r1", "published_at": clock.now()}
        target = factories.make_target(post, video, channel, state="published", due_at=clock.now(), **columns)
        for kind in kinds:
            db.session.add(Step(workspace_id=owner.workspace_id, target_id=target.id, kind=kind))
        db.session.commit()
        return str(target.id)


def queries(send: Send, path: str) -> int:
    """Return how many statements answering takes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert send("GET", path).status_code == 200
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(seen)


def test_a_target_shows_its_steps_but_not_the_collecting_of_figures(
    app: Flask, owner: Person, send: Send
) -> None:
    target_id = published(app, owner, "thumbnail", "first_comment", "figures")

    shown = send("GET", f"/targets/{target_id}").json["steps"]

    nothing = {"state": "waiting", "result": None, "error": None}
    assert shown == [{"kind": "first_comment", **nothing}, {"kind": "thumbnail", **nothing}]


@pytest.mark.parametrize("path", ["/targets", "/posts"])
def test_steps_of_many_targets_take_no_more_queries(app: Flask, owner: Person, send: Send, path: str) -> None:
    published(app, owner, "first_comment")
    few = queries(send, path)
    for _ in range(4):
        published(app, owner, "first_comment", "thumbnail")

    assert queries(send, path) == few


def test_the_timeline_names_steps_as_people_do(app: Flask, owner: Person, send: Send) -> None:
    target = row(app, published(app, owner))
    facts = {"workspace_id": target.workspace_id, "target_id": target.id}
    with app.app_context():
        Event.record("step.failed", post_id=target.post_id, data={"kind": "first_comment"}, **facts)
        db.session.add(
            Attempt(operation="step.first_comment.locate", fence=1, outcome="StepNotDone", **facts)
        )
        db.session.commit()

    told = [entry["sentence"] for entry in send("GET", f"/posts/{target.post_id}/timeline").json["data"]]

    assert "First comment on TikTok (ada) failed." in told
    assert "Asking TikTok (ada) about First comment: it was certainly not done." in told


# -- figures


def test_figures_are_told_with_null_for_what_is_not_known(
    send: Send, platform: Afterwards, target_id: str
) -> None:
    platform.says["stats"] = [{"r1": Stats(views=7, likes=0, watch_seconds=1.5)}]

    answer = send("GET", f"/targets/{target_id}/stats")

    assert answer.status_code == 200
    shown = answer.json
    assert (shown["views"], shown["likes"], shown["comments"], shown["watch_seconds"]) == (7, 0, None, 1.5)
    assert shown["measured_at"] is not None
    assert (shown["more"], shown["error"]) == ({}, None)


def test_figures_nobody_told_yet_are_all_null(app: Flask, send: Send, target_id: str) -> None:
    set_state(app, target_id, remote_id=None)

    shown = send("GET", f"/targets/{target_id}/stats").json

    assert {shown[name] for name in ("measured_at", "views", "reach", "watch_seconds", "error")} == {None}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PlatformAPIError("away", platform="tiktok"), (502, "PLATFORM_API_ERROR")),
        (PlatformRateLimitError(platform="tiktok"), (429, "PLATFORM_RATE_LIMIT")),
    ],
    ids=["away", "rate"],
)
def test_a_platform_that_does_not_tell_is_an_error_in_the_envelope(
    send: Send, platform: Afterwards, target_id: str, error: Exception, expected: tuple[int, str]
) -> None:
    platform.says["stats"] = [error]

    assert code(send("GET", f"/targets/{target_id}/stats")) == expected


# -- removal


def test_a_post_is_removed_once_for_each_key(send: Send, platform: Afterwards, target_id: str) -> None:
    first = send("POST", f"/targets/{target_id}/remove", Idempotency_Key="k")
    again = send("POST", f"/targets/{target_id}/remove", Idempotency_Key="k")
    without = send("POST", f"/targets/{target_id}/remove")

    assert first.status_code == 200
    assert (first.json["stage"], first.json["error"]["code"]) == ("removed", "REMOVED_BY_USER")
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert without.json["stage"] == "removed"
    assert platform.asked == [("remove", "r1")]


def test_a_refused_removal_may_be_repeated_with_the_same_key(
    send: Send, platform: Afterwards, target_id: str
) -> None:
    platform.says["remove"] = [PlatformAPIError("away", platform="tiktok")]

    refused = send("POST", f"/targets/{target_id}/remove", Idempotency_Key="k")
    repeated = send("POST", f"/targets/{target_id}/remove", Idempotency_Key="k")

    assert code(refused) == (502, "PLATFORM_API_ERROR")
    assert repeated.json["stage"] == "removed"


def test_where_nobody_can_delete_by_program_the_link_is_told(
    send: Send, platform: Afterwards, target_id: str
) -> None:
    platform.can_remove = False  # type: ignore[misc]

    answer = send("POST", f"/targets/{target_id}/remove")

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
    assert answer.json["error"]["details"]["permalink"] == "https://example.com/r1"


def test_what_is_not_published_cannot_be_removed(app: Flask, send: Send, target_id: str) -> None:
    set_state(app, target_id, state="scheduled")

    assert code(send("POST", f"/targets/{target_id}/remove")) == (409, "STATE_CONFLICT")


@pytest.mark.parametrize(("method", "action"), [("GET", "stats"), ("POST", "remove")])
def test_another_workspaces_post_does_not_exist(
    app: Flask, other_headers: dict[str, str], target_id: str, method: str, action: str
) -> None:
    path = f"/api/v1/targets/{target_id}/{action}"

    answer = app.test_client().open(path, method=method, headers=other_headers)

    assert answer.status_code == 404
    assert row(app, target_id).state == "published"


def test_a_key_that_may_not_publish_removes_nothing(
    app: Flask, owner: Person, platform: Afterwards, target_id: str
) -> None:
    with app.app_context():
        headers = {"Authorization": f"Bearer {factories.make_api_key(owner, scopes=('read', 'write'))}"}

    answer = app.test_client().post(f"/api/v1/targets/{uuid.UUID(target_id)}/remove", headers=headers)

    assert answer.status_code == 403
    assert platform.asked == []
