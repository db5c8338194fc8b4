"""How files get to Facebook: reels in one request, longer videos in parts, both resumed by asking."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.exceptions import PlatformAPIError
from app.platforms._transport import STRETCH
from app.platforms.base import (
    LeaseLost,
    NotCommitted,
    Platform,
    Published,
    PublishRequest,
    Staged,
    Wait,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import MemorySource, make_request, some_bytes
from tests.platforms.test_facebook import CASE, Saved, as_video, post
from tests.sandbox_server import Sim


@pytest.fixture
def facebook(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("facebook")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(platform="facebook"), some_bytes(20_000))


# -- longer videos


def sha256(request: PublishRequest) -> str:
    assert isinstance(request.source, MemorySource)
    return hashlib.sha256(request.source.data).hexdigest()


def test_a_longer_video_goes_in_the_parts_facebook_asks_for(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = as_video(request_)
    found = facebook.locate(asked, post(facebook, asked))
    (made,) = sim.posts(platform="facebook")
    assert isinstance(found, Published)
    assert (made["sha256"], found.permalink) == (sha256(asked), made["permalink"])
    assert len(sim.requests(operation="facebook.transfer")) == 3
    assert "/videos/" in str(found.permalink)


def test_a_longer_video_goes_on_from_every_handle_and_lets_others_go_first(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked, saved, turns = as_video(request_), Saved(), 0
    outcome: object = facebook.stage(replace(asked, should_yield=lambda: True), None, saved)
    while isinstance(outcome, Wait):
        turns += 1
        outcome = facebook.stage(replace(asked, should_yield=lambda: True), saved[-1], saved)
    facebook.prepare_commit(asked, saved[-1]).send(10.0)
    assert turns == 2
    assert [made["sha256"] for made in sim.posts(platform="facebook")] == [sha256(asked)]


@pytest.mark.parametrize("action", ["store_partial", "drop_after", "drop_before"])
def test_an_interrupted_part_is_continued_where_facebook_says(
    facebook: Platform, request_: PublishRequest, sim: Sim, action: str
) -> None:
    asked, saved = as_video(request_), Saved()
    sim.fault("facebook.transfer", action, nth=2, bytes=1_000_000)
    with pytest.raises(PlatformAPIError) as lost:
        facebook.stage(asked, None, saved)
    assert isinstance(facebook.stage(asked, saved[-1], saved), Staged)
    facebook.prepare_commit(asked, saved[-1]).send(10.0)
    assert lost.value.kind == "transient"
    assert [made["sha256"] for made in sim.posts(platform="facebook")] == [sha256(asked)]


@pytest.mark.parametrize(
    ("fault", "posts"),
    [
        ({"action": "drop_after"}, 1),
        ({"action": "drop_before"}, 0),
        ({"action": "status", "status": 503, "when": "after"}, 1),
        ({"action": "malformed"}, 1),
    ],
    ids=["drop_after", "drop_before", "status_after", "malformed"],
)
def test_a_longer_videos_lost_commit_is_found_by_asking(
    facebook: Platform, request_: PublishRequest, sim: Sim, fault: Mapping[str, Any], posts: int
) -> None:
    asked, saved = as_video(request_, 50_000), Saved()
    facebook.stage(asked, None, saved)
    sim.fault("facebook.finish", **fault)
    with pytest.raises(PlatformAPIError) as lost:
        facebook.prepare_commit(asked, saved[-1]).send(5.0)
    assert lost.value.kind == "ambiguous"
    assert isinstance(facebook.locate(asked, saved[-1]), Published if posts else NotCommitted)
    assert sim.count(platform="facebook") == posts


def test_a_longer_video_is_not_staged_again_once_it_is_out(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = as_video(request_, 50_000)
    handle = post(facebook, asked)
    with pytest.raises(PlatformAPIError) as again:
        facebook.stage(asked, handle, Saved())
    with pytest.raises(PlatformAPIError) as twice:
        facebook.prepare_commit(asked, handle).send(5.0)
    assert again.value.kind == twice.value.kind == "ambiguous"
    assert sim.count(platform="facebook") == 1


def test_offsets_that_make_no_sense_are_transient(
    facebook: Platform, request_: PublishRequest, sim: Sim
) -> None:
    for body in ({"start_offset": "0", "end_offset": "99999999"}, {"start_offset": "5"}, {}):
        sim.fault("facebook.transfer", "status", status=200, body=body)
        with pytest.raises(PlatformAPIError) as broken:
            facebook.stage(as_video(request_), None, Saved())
        assert broken.value.kind == "transient"


# -- reels' bytes


@pytest.mark.parametrize("action", ["store_partial", "drop_before", "drop_after"])
def test_an_interrupted_upload_is_continued_where_facebook_has_it(
    facebook: Platform, request_: PublishRequest, sim: Sim, action: str
) -> None:
    saved = Saved()
    sim.fault("facebook.upload", action, bytes=7_000)
    with pytest.raises(PlatformAPIError):
        facebook.stage(request_, None, saved)
    assert isinstance(facebook.stage(request_, saved[-1], saved), Staged)
    facebook.prepare_commit(request_, saved[-1]).send(10.0)
    offsets = [call["headers"]["Offset"] for call in sim.requests(operation="facebook.upload")]
    assert offsets == {"store_partial": ["0", "7000"], "drop_before": ["0", "0"], "drop_after": ["0"]}[action]
    assert [made["sha256"] for made in sim.posts(platform="facebook")] == [sha256(request_)]


def test_a_lost_lease_breaks_an_upload_off(facebook: Platform, request_: PublishRequest) -> None:
    asked, seen = replace(request_, source=MemorySource(some_bytes(3 * STRETCH))), Saved()

    def save(handle: Mapping[str, Any]) -> None:
        seen(handle)
        if len(seen) == 2:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        facebook.stage(asked, None, save)
    assert seen[-1]["uploaded"] == STRETCH


def test_what_was_broken_off_and_not_kept_is_sent_whole(facebook: Platform, request_: PublishRequest) -> None:
    asked, saved = replace(request_, source=MemorySource(some_bytes(3 * STRETCH))), Saved()
    facebook.stage(replace(asked, should_yield=lambda: True), None, saved)
    forgetful = {**saved[0], "uploaded": 3 * STRETCH - 1}  # of which Facebook has less than half
    again = facebook.stage(replace(asked, should_yield=lambda: True), forgetful, saved)
    assert isinstance(again, Staged)
