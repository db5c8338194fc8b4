"""What follows a Facebook post: its comment, its cover, its figures, its removal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.exceptions import PlatformAPIError
from app.platforms.base import (
    Platform,
    PublishRequest,
    StepDone,
    StepNotDone,
    StepUnknown,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import MemorySource, make_request, some_bytes
from tests.platforms.test_facebook import CASE, as_video, published
from tests.sandbox_server import Sim


@pytest.fixture
def facebook(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("facebook")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(platform="facebook"), some_bytes(20_000))


def test_the_steps_follow_from_the_options(facebook: Platform, request_: PublishRequest) -> None:
    options = {"use_thumbnail": True, "first_comment": " Look! "}
    steps = facebook.plan_steps(replace(request_, options=options), {})
    assert [(step.kind, dict(step.payload)) for step in steps] == [
        ("thumbnail", {}),
        ("first_comment", {"text": "Look!"}),
    ]
    assert facebook.plan_steps(replace(request_, options={"first_comment": " "}), {}) == []


def test_a_first_comment_whose_answer_is_lost_is_found_by_asking(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = published(facebook, replace(request_, options={"first_comment": "Look!"}))
    (step,) = facebook.plan_steps(asked, {})
    before = facebook.locate_step(asked, step)
    sim.fault("facebook.comment", "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        facebook.perform_step(asked, step)
    after = facebook.locate_step(asked, step)
    assert isinstance(before, StepNotDone)
    assert lost.value.kind == "ambiguous"
    assert isinstance(after, StepDone)
    assert [comment["text"] for comment in sim.comments(platform="facebook")] == ["Look!"]


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([{"id": "7", "message": "Look!"}], StepUnknown),
        ([{"id": "7", "message": "Look!", "from": {"id": "another"}}], StepNotDone),
        ([{"id": "7", "message": "Another text"}], StepNotDone),
        ([{"id": "7", "message": "Look!"}, {"id": "8", "message": "Look!", "from": "own"}], StepDone),
    ],
    ids=["author untold", "a stranger's", "other words", "ours beside it"],
)
def test_a_comment_of_an_untold_author_is_neither_taken_for_ours_nor_passed_over(
    facebook: Platform, request_: PublishRequest, sim: Sim, listed: list[dict[str, Any]], found: type
) -> None:
    asked = published(facebook, replace(request_, options={"first_comment": "Look!"}))
    (step,) = facebook.plan_steps(asked, {})
    page = {"id": asked.account.remote_id}
    rows = [row | ({"from": page} if row.get("from") == "own" else {}) for row in listed]
    sim.fault("facebook.comments", "status", status=200, body={"data": rows})
    assert isinstance(facebook.locate_step(asked, step), found)


def test_a_thumbnail_becomes_the_cover(facebook: Platform, request_: PublishRequest, sim: Sim) -> None:
    picture = MemorySource(b"\xff\xd8picture", "image/jpeg")
    asked = published(facebook, replace(request_, options={"use_thumbnail": True}, thumbnail=lambda: picture))
    (step,) = facebook.plan_steps(asked, {})
    assert isinstance(facebook.perform_step(asked, step), StepDone)
    assert isinstance(facebook.perform_step(asked, step), StepDone)
    (upload,) = sim.call("GET", "uploads")["uploads"]
    assert upload["details"]["cover"] == {"preferred": True, "size": picture.size}


def test_a_thumbnail_that_is_not_there_is_a_clear_refusal(
    facebook: Platform, request_: PublishRequest
) -> None:
    asked = published(facebook, replace(request_, options={"use_thumbnail": True}))
    with pytest.raises(PlatformAPIError, match="no thumbnail"):
        facebook.perform_step(asked, facebook.plan_steps(asked, {})[0])


def test_figures_come_metric_by_metric_and_what_is_not_told_stays_open(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = published(facebook, request_)
    video_id = asked.remote_id or ""
    found = facebook.stats(asked.account, [video_id, "404"])
    floor = facebook.stats(replace(asked.account, scopes=frozenset({"pages_read_engagement"})), [video_id])
    assert list(found) == [video_id]
    full = found[video_id]
    assert (full.views, full.likes, full.shares, full.watch_seconds) == (5, 3, 2, 21.0)
    assert (full.average_watch_seconds, full.comments, full.saves) == (4.2, 0, None)
    assert (floor[video_id].views, floor[video_id].shares) == (7, None)


def test_a_metric_of_another_kind_of_video_is_not_zero(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = published(facebook, as_video(request_, 20_000))
    body = {"error": {"code": 100, "message": "The value must be a valid insights metric."}}
    sim.fault("facebook.insights", "status", status=400, body=body)
    (figures,) = facebook.stats(asked.account, [asked.remote_id or ""]).values()
    assert (figures.views, figures.watch_seconds, figures.shares) == (6, None, None)


def test_removing_twice_is_no_error(facebook: Platform, request_: PublishRequest, sim: Sim) -> None:
    asked = published(facebook, request_)
    for _ in range(2):
        facebook.remove(asked.account, asked.remote_id or "")
    (made,) = sim.posts(platform="facebook")
    assert made["removed"] is True
