"""Where a video fits, asked over HTTP; and how a post says what it wants of its video."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app import clock
from app.models import Rendition, Target
from tests import factories
from tests.factories import FACTS, Person
from tests.routes.conftest import Body, Send, code, count

LATE_INDEX = FACTS.to_dict() | {"is_fast_start": False}
LONG = FACTS.to_dict() | {"duration_seconds": 1200.0}
NOBODYS = "0192f0c1-2b3c-7d4e-8f50-61728394a5b6"


def video(app: Flask, owner: Person, **columns: Any) -> str:
    with app.app_context():
        return str(factories.make_video(owner.workspace_id, **columns).id)


def channel(app: Flask, owner: Person, platform: str, **columns: Any) -> str:
    with app.app_context():
        return str(factories.make_channel(owner.workspace_id, platform=platform, **columns).id)


def fit(send: Send, video_id: str, query: str = "") -> dict[str, Any]:
    answer = send("GET", f"/videos/{video_id}/fit{query}")
    assert answer.status_code == 200, answer.json
    return {each["platform"]: each for each in answer.json["data"]}


# -- asking


def test_without_channels_every_platform_is_answered_for(app: Flask, owner: Person, send: Send) -> None:
    found = fit(send, video(app, owner, facts=LATE_INDEX))

    assert {name: each["state"] for name, each in found.items()} == {
        "youtube": "ok", "tiktok": "ok", "facebook": "ok", "instagram": "fixable",
    }  # fmt: skip
    assert found["instagram"]["work"] == "remux"
    assert found["instagram"]["changes"] == ["Its index is put first."]
    assert found["instagram"]["estimated_seconds"] >= 1
    assert (found["facebook"]["post_type"], found["youtube"]["post_type"]) == ("reel", "short")


def test_what_is_impossible_says_what_was_measured_and_what_is_allowed(
    app: Flask, owner: Person, send: Send
) -> None:
    found = fit(send, video(app, owner, facts=LONG))

    (problem,) = found["tiktok"]["problems"]
    assert found["tiktok"]["state"] == "impossible"
    assert (problem["rule"], problem["measured"], problem["allowed"]) == ("duration", 1200.0, 600)


def test_a_part_and_a_shape_may_be_asked_for(app: Flask, owner: Person, send: Send) -> None:
    found = fit(send, video(app, owner, facts=LONG), "?start=10&end=70&shape=blur")

    assert {each["state"] for each in found.values()} == {"fixable"}
    assert len({each["recipe_hash"] for each in found.values()}) == 1


def test_channels_are_answered_for_with_what_their_account_may_post(
    app: Flask, owner: Person, send: Send
) -> None:
    posting = {"choices": {}, "disabled": [], "max_duration_seconds": 5}
    id_ = channel(app, owner, "tiktok", posting=posting)
    channel(app, owner, "youtube")
    video_id = video(app, owner)

    assert fit(send, video_id)["tiktok"]["state"] == "impossible"
    assert set(fit(send, video_id)) == {"tiktok", "youtube"}
    assert fit(send, video_id, f"?channel_id={id_}")["tiktok"]["channel"]["id"] == id_
    assert set(fit(send, video_id, "?platform=facebook")) == {"facebook"}


def test_a_dry_run_judges_by_what_the_account_may_post_as_the_question_before_does(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    posting = {"choices": {}, "disabled": [], "max_duration_seconds": 5}
    id_ = channel(app, owner, "tiktok", posting=posting, posting_at=clock.now())
    video_id = video(app, owner)

    answer = send(
        "POST", "/posts?dry_run=true", body | {"video_id": video_id, "targets": [{"channel_id": id_}]}
    )

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
    (said,) = answer.json["error"]["details"]["verdicts"]
    (problem,) = said["problems"]
    assert (said["state"], problem["allowed"]) == ("impossible", 5)
    assert problem == fit(send, video_id, f"?channel_id={id_}")["tiktok"]["problems"][0]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?start=9", 422),
        ("?end=9", 422),
        ("?start=3&end=2", 422),
        ("?shape=stretch", 422),
        ("?platform=nowhere", 422),
        (f"?channel_id={NOBODYS}", 404),
        (f"?channel_id={NOBODYS}&platform=tiktok", 422),
    ],
)
def test_what_cannot_be_meant_is_refused(
    app: Flask, owner: Person, send: Send, query: str, status: int
) -> None:
    assert send("GET", f"/videos/{video(app, owner)}/fit{query}").status_code == status


def test_a_video_that_is_not_measured_has_no_answer_yet(app: Flask, owner: Person, send: Send) -> None:
    video_id = video(app, owner, state="processing", facts=None)

    assert code(send("GET", f"/videos/{video_id}/fit"))[0] == 409


def test_another_workspaces_video_and_channel_do_not_exist(app: Flask, owner: Person, send: Send) -> None:
    with app.app_context():
        stranger = factories.make_person()
    theirs = video(app, stranger)
    their_channel = channel(app, stranger, "tiktok")

    assert send("GET", f"/videos/{theirs}/fit").status_code == 404
    assert send("GET", f"/videos/{video(app, owner)}/fit?channel_id={their_channel}").status_code == 404


# -- posting


def test_a_dry_run_says_for_each_target_what_becomes_of_the_video(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    body |= {"video_id": video(app, owner, facts=LATE_INDEX)}
    body["targets"].append({"channel_id": channel(app, owner, "instagram")})

    answer = send("POST", "/posts?dry_run=true", body)

    assert answer.status_code == 200, answer.json
    verdicts = [target["verdict"] for target in answer.json["targets"]]
    assert [(each["state"], each["work"]) for each in verdicts] == [("ok", None), ("fixable", "remux")]
    assert count(app, Rendition) == 0


def test_a_refusal_says_for_every_channel_what_was_measured(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    body |= {"video_id": video(app, owner, facts=LONG)}
    body["targets"].append({"channel_id": channel(app, owner, "facebook")})

    answer = send("POST", "/posts?dry_run=true", body)

    assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
    details = answer.json["error"]["details"]
    assert "at most 600 allowed" in details["targets.0.video_id"][0]
    assert [(each["platform"], each["state"]) for each in details["verdicts"]] == [
        ("tiktok", "impossible"),
        ("facebook", "ok"),
    ]


def test_a_post_shows_what_is_made_for_its_targets_and_the_video_lists_it(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    body |= {"video_id": video(app, owner, facts=LATE_INDEX)}
    body["targets"].append({"channel_id": channel(app, owner, "instagram")})

    made = send("POST", "/posts", body).json

    first, second = made["targets"]
    assert (first["rendition"], first["hold"]) == (None, None)
    assert (second["rendition"]["state"], second["hold"]) == ("processing", "media")
    assert second["rendition"]["progress"] == 0 and second["rendition"]["remaining_seconds"] >= 1
    (listed,) = send("GET", f"/videos/{body['video_id']}").json["renditions"]
    assert listed == second["rendition"]
    assert send("GET", f"/targets/{second['id']}").json["rendition"] == listed


def test_a_part_that_goes_out_is_kept_changed_and_taken_back(app: Flask, send: Send, body: Body) -> None:
    made = send("POST", "/posts", body | {"fit": {"start": 1, "end": 5, "shape": "crop"}}).json
    assert made["fit"] == {"start": 1.0, "end": 5.0, "shape": "crop"}
    assert made["targets"][0]["rendition"]["work"] == "video"

    own = send("PATCH", f"/targets/{made['targets'][0]['id']}", {"fit": {"end": 4.0}})
    assert (own.status_code, own.json["fit"], own.json["rendition"]["work"]) == (200, {"end": 4.0}, "video")

    back = send("PATCH", f"/targets/{made['targets'][0]['id']}", {"fit": None}).json
    assert (back["fit"], back["rendition"]["work"]) == (None, "video")
    plain = send("PATCH", f"/posts/{made['id']}", {"fit": None}).json
    assert (plain["fit"], plain["targets"][0]["rendition"], plain["targets"][0]["hold"]) == (None, None, None)


@pytest.mark.parametrize(
    "wanted", [{}, {"end": 0}, {"start": 5, "end": 5}, {"shape": "stretch"}, {"start": -1}, {"end": 99.0}]
)
def test_a_fit_that_cannot_be_meant_changes_nothing(
    app: Flask, send: Send, body: Body, wanted: dict[str, Any]
) -> None:
    answer = send("POST", "/posts", body | {"fit": wanted})

    assert answer.status_code == 422, answer.json
    assert count(app, Target) == 0


def test_a_copy_wants_the_same_of_its_video(send: Send, body: Body) -> None:
    body["targets"][0]["fit"] = {"end": 3.0}
    made = send("POST", "/posts", body | {"fit": {"shape": "pad"}}).json

    copy = send("POST", f"/posts/{made['id']}/duplicate").json

    assert (copy["fit"], copy["targets"][0]["fit"]) == ({"shape": "pad"}, {"end": 3.0})
    assert copy["targets"][0]["rendition"] is None  # a draft
