"""TikTok when its answers leave out, contradict or lag: what may be there is not made again, nor called gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms.base import HandleDead, Pending, Platform, Published, PublishRequest
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_tiktok import CASE, Saved, post
from tests.sandbox_server import Sim


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(scopes=sorted(CASE.scopes)), some_bytes(20_000))


def says(**data: Any) -> dict[str, Any]:
    return {"data": data, "error": {"code": "ok"}}


@pytest.mark.parametrize("status", ["PUBLISH_COMPLETE", "SEND_TO_USER_INBOX"])
def test_an_upload_that_was_completed_is_in_doubt_though_its_bytes_are_not_told(
    tiktok: Platform, sim: Sim, request_: PublishRequest, status: str
) -> None:
    handle, body = post(tiktok, request_), says(status=status)
    sim.fault("tiktok.status", "status", status=200, body=body, times=-1)
    sim.fault("tiktok.*chunk", "status", status=404)
    for ask in (
        lambda: tiktok.prepare_commit(request_, handle).send(5.0),
        lambda: tiktok.stage(request_, handle, Saved()),
    ):
        with pytest.raises(PlatformAPIError) as doubted:
            ask()
        assert doubted.value.kind == "ambiguous"


@pytest.mark.parametrize("data", [{}, {"status": None}, {"status": 7}, {"status": ""}])
def test_an_answer_without_a_status_is_asked_for_again(
    tiktok: Platform, sim: Sim, request_: PublishRequest, data: Mapping[str, Any]
) -> None:
    handle = post(tiktok, request_)
    sim.fault("tiktok.status", "status", status=200, body=says(**data), times=2)
    for ask in (
        lambda: tiktok.locate(request_, handle),
        lambda: tiktok.stage(request_, handle, Saved()),
    ):
        with pytest.raises(PlatformAPIError) as unclear:
            ask()
        assert unclear.value.kind == "transient"


def test_an_upload_whose_hour_is_over_is_called_dead_only_when_a_late_effect_is_past(
    tiktok: Platform, request_: PublishRequest
) -> None:
    saved, now = Saved(), clock.now()
    tiktok.stage(request_, None, saved)
    old = {**saved[-1], "created_at": now.timestamp() - 3600}
    early = tiktok.locate(replace(request_, committed_at=now - timedelta(seconds=30)), old)
    late = tiktok.locate(replace(request_, committed_at=now - timedelta(seconds=61)), old)
    assert isinstance(early, Pending) and early.until == now + timedelta(seconds=30)
    assert isinstance(late, HandleDead)


def test_a_post_whose_id_is_told_before_it_is_listed_is_not_called_gone(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = post(tiktok, request_)
    sim.fault("tiktok.video_query", "status", status=200, body=says(videos=[]), times=-1)
    found = tiktok.watch(request_, handle)
    assert isinstance(found, Published) and found.remote_id is not None


@pytest.mark.parametrize("told", [True, "", "7" * 33, "\u0667\u0661", "7/../x", -7, 7.5, {}, None])
def test_what_is_no_id_is_not_taken_for_one(
    tiktok: Platform, sim: Sim, request_: PublishRequest, told: object
) -> None:
    handle = post(tiktok, request_)
    body = says(status="PUBLISH_COMPLETE", publicaly_available_post_id=[told])
    sim.fault("tiktok.status", "status", status=200, body=body)
    found = tiktok.locate(request_, handle)
    assert isinstance(found, Published) and (found.remote_id, found.complete) == (None, False)
