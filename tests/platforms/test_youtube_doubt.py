"""YouTube when its answers leave out, contradict or forget: what may be there is not made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError
from app.platforms import _youtube_rules as rules
from app.platforms.base import (
    HandleDead,
    NotCommitted,
    Pending,
    Platform,
    Published,
    PublishRequest,
    Staged,
    StepDone,
    Unknown,
    Wait,
)
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_youtube import CASE, PUBLIC, Saved, post, staged
from tests.sandbox_server import Sim


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="youtube", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(600_000))


@pytest.fixture
def uploading(request_: PublishRequest, sim: Sim) -> PublishRequest:
    """A request of an account that allowed no more than uploading, where the last chunk publishes."""
    scopes = frozenset({rules.UPLOAD, rules.READ})
    token = sim.token(platform="youtube", scopes=sorted(scopes))
    account = replace(request_.account, access_token=token["access_token"], scopes=scopes)
    return replace(request_, account=account)


UNREADABLE = [
    {"items": [{"id": "VIDEO"}]},
    {"items": [{"id": "VIDEO", "status": []}]},
    {"items": [{"id": "VIDEO", "status": {"uploadStatus": "processed"}}]},
    {"items": [{"id": "VIDEO", "status": {"privacyStatus": None, "uploadStatus": "processed"}}]},
    {"items": [None]},
    {"items": ["VIDEO"]},
    {"items": [{"id": 7, "status": {"privacyStatus": "public"}}]},
]


def about(body: Mapping[str, Any], video_id: str) -> str:
    return str(body).replace("VIDEO", video_id).replace("'", '"').replace("None", "null")


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_video_of_which_it_is_not_told_who_may_see_it_is_neither_published_nor_gone(
    youtube: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    handle = staged(youtube, request_)[-1]
    sim.fault("youtube.videos", "malformed", body=about(body, handle["video_id"]), times=-1)
    known = replace(request_, remote_id=handle["video_id"])
    asked = (
        lambda: youtube.locate(request_, handle),
        lambda: youtube.watch(known, handle),
        lambda: youtube.stage(request_, handle, Saved()),
    )
    for ask in asked:
        with pytest.raises(PlatformAPIError) as unclear:
            ask()
        assert unclear.value.kind == "transient"


def test_a_video_missing_from_answers_right_after_the_commit_is_asked_for_again(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    handle, now = staged(youtube, request_)[-1], clock.now()
    sim.fault("youtube.videos", "malformed", body={"items": []}, times=2)
    soon = youtube.locate(replace(request_, committed_at=now - timedelta(minutes=1)), handle)
    late = youtube.locate(replace(request_, committed_at=now - timedelta(minutes=11)), handle)
    assert isinstance(soon, Pending)
    assert isinstance(late, Unknown)


def test_a_video_said_to_be_missing_after_an_earlier_commit_is_in_doubt(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    _, handle = post(youtube, request_)
    body = {"error": {"errors": [{"reason": "videoNotFound"}]}}
    sim.fault("youtube.update", "status", status=404, body=body)
    with pytest.raises(PlatformAPIError) as doubted:
        youtube.prepare_commit(replace(request_, committed_at=clock.now()), handle).send(10.0)
    assert doubted.value.kind == "ambiguous"


def test_an_upload_that_was_cut_off_at_youtube_is_made_again(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    item = {"id": "VIDEO", "status": {"uploadStatus": "failed", "failureReason": "uploadAborted"}}
    item["status"]["privacyStatus"] = "private"  # type: ignore[index]
    first = saved[-1]["video_id"]
    sim.fault("youtube.videos", "malformed", body=about({"items": [item]}, first))
    assert isinstance(youtube.stage(request_, saved[-1], saved), Staged)
    assert saved[-1]["video_id"] not in (None, first)


def test_questions_that_todays_units_do_not_pay_for_never_fail_an_uploaded_video(
    youtube: Platform, request_: PublishRequest
) -> None:
    taken: list[tuple[str, int]] = []

    def reserve(bucket: str, cost: int) -> None:
        taken.append((bucket, cost))
        if cost == 1 and bucket == rules.UNITS:
            raise PlatformRateLimitError(kind="quota", platform="youtube")

    asked, saved = replace(request_, reserve=reserve, reserve_ahead=reserve), Saved()
    early = youtube.stage(asked, None, saved)
    late = youtube.stage(replace(asked, due_at=clock.now()), saved[-1], saved)
    assert isinstance(early, Wait) and early.until <= request_.due_at
    assert isinstance(late, Staged)
    assert (rules.UNITS, rules.UPDATE_COST) in taken


# -- the last chunk


def test_a_last_chunk_refused_because_it_has_come_already_is_in_doubt(
    youtube: Platform, uploading: PublishRequest, sim: Sim
) -> None:
    handle = staged(youtube, uploading)[-1]
    sim.fault("youtube.last_chunk", "status", status=400, when="after")
    with pytest.raises(PlatformAPIError) as doubted:
        youtube.prepare_commit(uploading, handle).send(10.0)
    assert (doubted.value.kind, sim.count(platform="youtube")) == ("ambiguous", 1)


def test_a_last_chunk_refused_for_good_is_told_as_it_is(
    youtube: Platform, uploading: PublishRequest, sim: Sim
) -> None:
    handle = staged(youtube, uploading)[-1]
    sim.fault("youtube.last_chunk", "status", status=400)
    with pytest.raises(PlatformAPIError) as refused:
        youtube.prepare_commit(uploading, handle).send(10.0)
    assert (refused.value.kind, sim.count(platform="youtube")) == ("content", 0)


# -- a restored database


def test_a_post_made_after_the_snapshot_is_found_by_its_session_while_the_list_lags(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    youtube.prepare_commit(request_, saved[-1]).send(10.0)
    sim.fault("youtube.playlist", "malformed", body={"items": []}, times=-1)
    found = youtube.locate(request_, saved[0])
    assert isinstance(found, Published) and found.remote_id == saved[-1]["video_id"]


def test_an_upload_whose_session_ended_proves_nothing_after_a_restore(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    youtube.stage(replace(request_, should_yield=lambda: True), None, saved)
    alive = youtube.locate(request_, saved[0])
    sim.fault("youtube.ask", "status", status=404)
    assert isinstance(alive, NotCommitted)
    assert isinstance(youtube.locate(request_, saved[0]), HandleDead)


# -- comments


def test_a_comment_is_found_though_youtube_folded_its_blanks(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = replace(request_, options={**PUBLIC, "first_comment": "First!\r\n\r\nSecond  "})
    committed, handle = post(youtube, asked)
    (step,) = youtube.plan_steps(asked, handle)
    live = replace(asked, remote_id=committed.remote_id)
    youtube.perform_step(live, replace(step, payload={"text": "First!\n\nSecond"}))
    assert isinstance(youtube.locate_step(live, step), StepDone)
