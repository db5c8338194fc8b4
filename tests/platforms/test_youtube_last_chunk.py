"""YouTube where only uploading and reading were permitted: the last chunk publishes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import time_machine

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _youtube_rules as rules
from app.platforms.base import (
    HandleDead,
    NotCommitted,
    Pending,
    Platform,
    Published,
    PublishRequest,
    Staged,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import MemorySource, make_request, some_bytes
from tests.platforms.test_youtube import CASE, Saved, post, staged
from tests.sandbox_server import Sim

SCOPES = frozenset({rules.UPLOAD, rules.READ})
SIZE = 600_000
LAST = SIZE - 2 * rules.GRAIN


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="youtube", scopes=sorted(SCOPES))
    request = make_request(CASE, token, some_bytes(SIZE))
    return replace(request, account=replace(request.account, scopes=SCOPES))


def test_all_but_the_last_chunk_goes_ahead_and_nobody_sees_a_video(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (*_, handle) = staged(youtube, request_)
    assert (youtube.commit_bytes(handle), youtube.slow_commit(handle)) == (LAST, False)
    assert sim.count(platform="youtube") == 0
    assert isinstance(youtube.locate(request_, handle), NotCommitted)


def test_the_last_chunk_publishes_byte_for_byte(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    committed, handle = post(youtube, request_)
    (found,) = sim.posts(platform="youtube")
    assert isinstance(committed, Published)
    assert (found["size"], found["privacy"], found["id"]) == (SIZE, "public", committed.remote_id)
    assert isinstance(youtube.locate(request_, handle), Published)


def test_a_lost_answer_is_ambiguous_and_found_in_the_session(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (*_, handle) = staged(youtube, request_)
    sim.fault("youtube.last_chunk", "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        youtube.prepare_commit(request_, handle).send(10.0)
    with pytest.raises(PlatformAPIError) as again:
        youtube.prepare_commit(request_, handle).send(10.0)
    assert (lost.value.kind, again.value.kind) == ("ambiguous", "ambiguous")
    assert isinstance(youtube.locate(request_, handle), Published)
    assert sim.count(platform="youtube") == 1


def test_a_lost_answer_is_found_by_our_tag_when_the_session_is_gone(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (*_, handle) = staged(youtube, request_)
    sim.fault("youtube.last_chunk", "drop_after")
    with pytest.raises(PlatformAPIError):
        youtube.prepare_commit(request_, handle).send(10.0)
    sim.fault("youtube.ask", "status", status=410, times=-1)
    found = youtube.locate(request_, handle)
    assert isinstance(found, Published) and found.remote_id == sim.posts(platform="youtube")[0]["id"]
    with pytest.raises(PlatformAPIError) as known:
        youtube.stage(request_, handle, Saved())
    assert known.value.kind == "ambiguous"


def test_a_last_chunk_stored_in_part_is_completed(
    make_registry: RegistryMaker, request_: PublishRequest, sim: Sim
) -> None:
    platform = make_registry(YOUTUBE_CHUNK_SIZE="524288").get("youtube")
    whole = replace(request_, source=MemorySource(some_bytes(900_000)))
    (*_, handle) = staged(platform, whole)
    sim.fault("youtube.last_chunk", "store_partial", bytes=300_000)
    with pytest.raises(PlatformAPIError) as lost:
        platform.prepare_commit(whole, handle).send(10.0)
    assert (lost.value.kind, platform.locate(whole, handle)) == ("ambiguous", NotCommitted())
    assert isinstance(platform.prepare_commit(whole, handle).send(10.0), Published)
    ranges = [sent["headers"]["Content-Range"] for sent in sim.requests(operation="youtube.last_chunk")]
    assert ranges == ["bytes 524288-899999/900000", "bytes 786432-899999/900000"]
    assert sim.count(platform="youtube") == 1


@pytest.mark.parametrize(("status", "when"), [(503, "after"), (500, "before"), (503, "before")])
def test_a_server_error_on_the_last_chunk_is_ambiguous(
    youtube: Platform, request_: PublishRequest, sim: Sim, status: int, when: str
) -> None:
    (*_, handle) = staged(youtube, request_)
    sim.fault("youtube.last_chunk", "status", status=status, when=when)
    with pytest.raises(PlatformAPIError) as lost:
        youtube.prepare_commit(request_, handle).send(10.0)
    assert lost.value.kind == "ambiguous"
    assert isinstance(youtube.locate(request_, handle), Published if when == "after" else NotCommitted)


def test_a_session_that_ended_before_its_time_is_dead_and_staged_anew(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    sim.fault("youtube.ask", "status", status=404, times=-1)
    assert isinstance(youtube.prepare_commit(request_, saved[-1]).send(10.0), HandleDead)
    assert isinstance(youtube.stage(request_, saved[-1], saved), Staged)
    sim.clear_faults()
    assert isinstance(youtube.prepare_commit(request_, saved[-1]).send(10.0), Published)
    assert sim.count(platform="youtube") == 1


def test_a_session_that_ended_in_doubt_is_asked_about_until_the_list_can_be_believed(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (*_, handle) = staged(youtube, request_)
    sim.fault("youtube.ask", "status", status=404, times=-1)
    doubtful = replace(request_, committed_at=clock.now())
    soon = youtube.locate(doubtful, handle)
    with time_machine.travel(clock.now().timestamp() + 601):
        later = youtube.locate(doubtful, handle)
    assert isinstance(soon, Pending)
    assert isinstance(later, HandleDead)


def test_the_commit_goes_ahead_when_the_session_cannot_be_asked_in_time(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (*_, handle) = staged(youtube, request_)
    sim.fault("youtube.ask", "status", status=503)
    assert isinstance(youtube.prepare_commit(request_, handle).send(10.0), Published)
    assert sim.count(platform="youtube") == 1


def test_no_update_is_paid_for(youtube: Platform, request_: PublishRequest) -> None:
    taken: list[tuple[str, int]] = []

    def take(bucket: str, cost: int) -> None:
        taken.append((bucket, cost))

    staged(youtube, replace(request_, reserve=take, reserve_ahead=take))
    assert taken == [("uploads", 1), ("inserts", 1)]


def test_an_account_that_may_not_upload_is_told_before_anything_is_sent(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    reader = replace(request_, account=replace(request_.account, scopes=frozenset({rules.READ})))
    with pytest.raises(PlatformAPIError) as refused:
        youtube.stage(reader, None, Saved())
    assert refused.value.kind == "reauth"
    assert sim.requests(platform="youtube") == []
