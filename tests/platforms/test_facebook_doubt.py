"""Facebook when its answers leave out, contradict or forget: what may be there is not made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms.base import (
    HandleDead,
    NotCommitted,
    NotStaged,
    Pending,
    PlannedStep,
    Platform,
    Published,
    PublishRequest,
    Staged,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_facebook import CASE, Saved, post, published
from tests.sandbox_server import Sim

MISSED = {"error": {"code": 100, "error_subcode": 33, "message": "No."}}


@pytest.fixture
def facebook(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("facebook")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(platform="facebook"), some_bytes(20_000))


# -- what Facebook leaves out proves nothing


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": "7"},
        {"status": {"video_status": "ready"}},
        {"status": {"video_status": "ready", "publishing_phase": {"status": "queued"}}},
        {"published": True, "status": {"publishing_phase": {"status": "not_started"}}},
    ],
)
def test_a_status_that_does_not_say_so_never_means_not_committed(
    facebook: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    old = {**saved[-1], "created_at": clock.now().timestamp() - 86_400}
    sim.fault("facebook.status", "status", status=200, body=body, times=-1)
    asked = replace(request_, committed_at=clock.now() - timedelta(minutes=5))
    with pytest.raises(PlatformAPIError) as doubted:
        facebook.prepare_commit(request_, old).send(5.0)
    assert [type(facebook.locate(asked, handle)) for handle in (saved[-1], old)] == [Pending, Pending]
    assert doubted.value.kind == "ambiguous"


def test_a_refusal_while_the_video_is_being_worked_on_is_in_doubt(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved, body = Saved(), {"error": {"code": 100}}
    sim.settings(processing_seconds=60.0)
    facebook.stage(request_, None, saved)
    sim.fault("facebook.finish", "status", status=400, when="after", body=body)
    with pytest.raises(PlatformAPIError) as doubted:
        facebook.prepare_commit(request_, saved[-1]).send(5.0)
    assert (doubted.value.kind, sim.count(platform="facebook")) == ("ambiguous", 1)


def test_a_post_that_is_out_is_not_made_again_whatever_failed_beside_it(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    handle = post(facebook, request_)
    phases = {"processing_phase": {"status": "error", "error": {"code": 6001}}}
    phases["publishing_phase"] = {"status": "complete", "publish_status": "published"}
    sim.fault("facebook.status", "status", status=200, body={"status": {"video_status": "error"} | phases})
    assert isinstance(facebook.locate(request_, handle), Published)


# -- the preflight


def test_a_video_missed_for_a_moment_neither_fails_the_post_nor_leaves_it_to_a_person(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    sim.fault("facebook.status", "status", status=400, body=MISSED, times=2)
    facebook.preflight(request_, saved[-1])
    asked = replace(request_, committed_at=clock.now() - timedelta(minutes=5))
    assert isinstance(facebook.locate(asked, saved[-1]), Pending)
    assert isinstance(facebook.locate(asked, saved[-1]), NotCommitted)


def test_a_video_that_is_gone_before_its_time_is_uploaded_again(
    facebook: Platform, request_: PublishRequest
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    facebook.remove(request_.account, saved[-1]["video_id"])
    facebook.preflight(request_, saved[-1])
    dead = facebook.prepare_commit(request_, saved[-1]).send(5.0)
    with pytest.raises(PlatformAPIError) as doubted:
        facebook.prepare_commit(replace(request_, committed_at=clock.now()), saved[-1]).send(5.0)
    assert isinstance(dead, HandleDead)
    assert doubted.value.kind == "ambiguous"


@pytest.mark.parametrize(
    "body",
    [
        {"status": {"video_status": "expired", "publishing_phase": {"status": "not_started"}}},
        {
            "status": {
                "video_status": "error",
                "processing_phase": {"status": "error", "error": {"code": 6001}},
                "publishing_phase": {"status": "not_started"},
            }
        },
    ],
)
def test_an_upload_that_is_over_passes_the_preflight_and_the_commit_says_that_it_is_dead(
    facebook: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    sim.fault("facebook.status", "status", status=200, body=body, times=2)
    sim.fault("facebook.finish", "status", status=400, body={"error": {"code": 100}})
    facebook.preflight(request_, saved[-1])
    assert isinstance(facebook.prepare_commit(request_, saved[-1]).send(5.0), HandleDead)


def test_an_upload_that_is_no_longer_whole_is_sent_on_with_the_same_handle(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    facebook.stage(request_, None, saved)
    part = {"status": "in_progress", "bytes_transferred": 5_000}
    body = {"status": {"uploading_phase": part, "publishing_phase": {"status": "not_started"}}}
    sim.fault("facebook.status", "status", status=200, body=body, times=1)
    assert isinstance(facebook.preflight(request_, saved[-1]), NotStaged)
    assert isinstance(facebook.stage(request_, saved[-1], saved), Staged)
    assert facebook.preflight(request_, saved[-1]) is None
    assert len({handle["video_id"] for handle in saved}) == 1


def test_the_preflight_of_what_is_out_already_leads_to_asking(
    facebook: Platform, request_: PublishRequest
) -> None:
    handle = post(facebook, request_)
    with pytest.raises(PlatformAPIError) as known:
        facebook.preflight(request_, handle)
    assert known.value.kind == "ambiguous"


# -- comments


COMMENT = PlannedStep("first_comment", {"text": "Look!"})


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": ["x"]}, {"data": [], "paging": {"next": "https://x.example/"}}]
)
def test_comments_that_cannot_be_read_do_not_mean_that_ours_is_missing(
    facebook: Platform, request_: PublishRequest, sim: Sim, body: Mapping[str, Any]
) -> None:
    live = published(facebook, request_)
    facebook.perform_step(live, COMMENT)
    sim.fault("facebook.comments", "status", status=200, body=body)
    with pytest.raises(PlatformAPIError) as unclear:
        facebook.locate_step(live, COMMENT)
    assert unclear.value.kind == "transient"


def test_a_comment_without_an_id_is_in_doubt(facebook: Platform, request_: PublishRequest, sim: Sim) -> None:
    live = published(facebook, request_)
    sim.fault("facebook.comment", "status", status=200, body={"success": False})
    with pytest.raises(PlatformAPIError) as unclear:
        facebook.perform_step(live, COMMENT)
    assert unclear.value.kind == "ambiguous"
