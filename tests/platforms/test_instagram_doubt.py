"""Instagram when its answers leave out, contradict or forget: what may be there is not made again, nor another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _instagram_rules as rules
from app.platforms.base import HandleDead, PlannedStep, Platform, Published, PublishRequest
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_instagram import CASE, posted, refusal, staged
from tests.sandbox_server import Sim

COMMENT = PlannedStep(rules.FIRST_COMMENT, {"text": "First!"})


@pytest.fixture
def instagram(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("instagram")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="instagram", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(20_000))


@pytest.fixture
def live(instagram: Platform, sim: Sim, request_: PublishRequest) -> PublishRequest:
    posted(instagram, request_)
    return replace(request_, remote_id=sim.posts()[0]["id"])


@pytest.mark.parametrize(("code", "subcode"), [(100, 33), (24, 2207006)])
def test_a_container_missed_for_a_moment_does_not_fail_the_post_before_its_time(
    instagram: Platform, sim: Sim, request_: PublishRequest, code: int, subcode: int
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.container_status", "status", status=400, body=refusal(code, subcode))
    instagram.preflight(request_, handle)
    instagram.prepare_commit(request_, handle).send(5.0)
    assert sim.count() == 1


@pytest.mark.parametrize("known", [refusal(100, 33), {"status_code": "FINISHED"}])
def test_after_an_earlier_commit_a_container_said_to_be_no_more_is_in_doubt(
    instagram: Platform, sim: Sim, request_: PublishRequest, known: Mapping[str, Any]
) -> None:
    handle = posted(instagram, request_)
    asked = replace(request_, committed_at=clock.now() - timedelta(minutes=3))
    sim.fault("instagram.publish", "status", status=400, body=refusal(24, 2207006))
    status = 400 if "error" in known else 200
    sim.fault("instagram.container_status", "status", status=status, body=known)
    with pytest.raises(PlatformAPIError) as doubted:
        instagram.prepare_commit(asked, handle).send(5.0)
    assert doubted.value.kind == "ambiguous"


def test_after_an_earlier_commit_a_container_that_ended_unpublished_is_dead(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    asked = replace(request_, committed_at=clock.now() - timedelta(minutes=3))
    sim.fault("instagram.publish", "status", status=400, body=refusal(24, 2207008))
    sim.fault("instagram.container_status", "status", status=200, body={"status_code": "EXPIRED"})
    assert isinstance(instagram.prepare_commit(asked, handle).send(5.0), HandleDead)


def test_a_later_post_with_the_same_caption_is_not_taken_for_ours(
    instagram: Platform, request_: PublishRequest
) -> None:
    handle = posted(instagram, request_)
    earlier = replace(request_, committed_at=clock.now() - timedelta(minutes=30))
    assert instagram.locate(earlier, handle) == Published(None, None, complete=False)


@pytest.mark.parametrize(
    "given",
    ["https://evil.example/reel/x/", "javascript:alert(1)", "//evil.example", "WEB/a b", "WEB/\u0000"],
)
def test_an_address_that_is_none_of_instagrams_is_not_shown(
    instagram: Platform, sim: Sim, live: PublishRequest, given: str
) -> None:
    address = given.replace("WEB", instagram.config["WEB_URL"])
    sim.fault("instagram.media", "status", status=200, body={"id": live.remote_id, "permalink": address})
    assert instagram.watch(live, {"id": "1", "size": 1, "created_at": 0.0}) == Published(live.remote_id, None)


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": ["x"]}, {"data": {}}])
def test_a_list_that_cannot_be_read_proves_no_removal(
    instagram: Platform, sim: Sim, live: PublishRequest, body: Mapping[str, Any]
) -> None:
    sim.fault("instagram.media", "status", status=400, body=refusal(100, 33))
    sim.fault("instagram.media_list", "status", status=200, body=body)
    with pytest.raises(PlatformAPIError) as unclear:
        instagram.watch(live, {"id": "1", "size": 1, "created_at": 0.0})
    assert unclear.value.kind == "transient"


# -- comments


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": ["x"]}, {"data": [], "paging": {"next": "https://x.example/"}}]
)
def test_comments_that_cannot_be_read_do_not_mean_that_ours_is_missing(
    instagram: Platform, sim: Sim, live: PublishRequest, body: Mapping[str, Any]
) -> None:
    instagram.perform_step(live, COMMENT)
    sim.fault("instagram.comments", "status", status=200, body=body)
    with pytest.raises(PlatformAPIError) as unclear:
        instagram.locate_step(live, COMMENT)
    assert unclear.value.kind == "transient"


def test_more_comments_than_can_be_looked_through_do_not_mean_that_ours_is_missing(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    other = {"id": "7", "text": "Nice", "username": "somebody"}
    page = {"data": [other] * 50, "paging": {"next": "x", "cursors": {"after": "MQ=="}}}
    sim.fault("instagram.comments", "status", status=200, body=page, times=-1)
    with pytest.raises(PlatformAPIError, match="more of these") as unclear:
        instagram.locate_step(live, COMMENT)
    assert not unclear.value.retryable and unclear.value.kind != "reauth"


def test_a_comment_without_an_id_is_in_doubt(instagram: Platform, sim: Sim, live: PublishRequest) -> None:
    sim.fault("instagram.comment", "status", status=200, body={"success": False})
    with pytest.raises(PlatformAPIError) as unclear:
        instagram.perform_step(live, COMMENT)
    assert unclear.value.kind == "ambiguous"


def test_a_server_error_is_in_doubt_whatever_its_code_says(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    sim.fault("instagram.comment", "status", status=500, body=refusal(9007, 2207027))
    with pytest.raises(PlatformAPIError) as unclear:
        instagram.perform_step(live, COMMENT)
    assert unclear.value.kind == "ambiguous"


def test_a_post_found_in_the_list_says_that_it_only_looks_like_ours(
    instagram: Platform, request_: PublishRequest
) -> None:
    handle = posted(instagram, request_)
    found = instagram.locate(replace(request_, committed_at=clock.now()), handle)
    assert isinstance(found, Published) and found.remote_id is not None and found.matched
