"""How YouTube's videos are uploaded, published, found again and watched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError, PlatformUploadError
from app.platforms.base import (
    HandleDead,
    NotCommitted,
    Platform,
    Published,
    PublishRequest,
    Rejected,
    Staged,
    Unknown,
    Wait,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_youtube import CASE, PUBLIC, Saved, post, staged
from tests.sandbox_server import Sim


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="youtube", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(600_000))


# -- what is sent


def test_a_session_carries_everything_and_is_private(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    options = {**PUBLIC, "tags": "one, two words", "notify_subscribers": False, "license": "creativeCommon"}
    staged(youtube, replace(request_, target_id="0190-abcdef012345", options=options))
    (sent,) = sim.requests(operation="youtube.session")
    assert sent["query"]["notifySubscribers"] == "false"
    assert sent["body"]["snippet"] == {
        "title": "A title",
        "description": "A caption",
        "tags": ["one", "two words", "vs-abcdef012345"],
        "categoryId": "22",
    }
    assert sent["body"]["status"] == {
        "privacyStatus": "private",
        "selfDeclaredMadeForKids": False,
        "containsSyntheticMedia": False,
        "embeddable": True,
        "license": "creativeCommon",
        "publicStatsViewable": True,
    }


def test_the_commit_changes_the_privacy_and_wipes_nothing(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    options = {"privacy_status": "unlisted", "made_for_kids": True, "embeddable": False}
    committed, handle = post(youtube, replace(request_, options=options))
    (found,) = sim.posts(platform="youtube")
    (sent,) = sim.requests(operation="youtube.update")
    assert committed == Published(handle["video_id"], committed.permalink)
    assert (found["privacy"], found["id"]) == ("unlisted", handle["video_id"])
    assert sent["body"]["status"] == {
        "privacyStatus": "unlisted",
        "selfDeclaredMadeForKids": True,
        "containsSyntheticMedia": False,
        "embeddable": False,
        "license": "youtube",
        "publicStatsViewable": True,
    }


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ((720, 1280, 180.0), "/shorts/"),
        ((720, 720, 8.0), "/shorts/"),
        ((720, 1280, 180.1), "/watch?v="),
        ((1280, 720, 8.0), "/watch?v="),
        ((None, None, None), "/watch?v="),
    ],
)
def test_the_permalink_is_a_shorts_one_for_upright_videos_up_to_three_minutes(
    youtube: Platform, request_: PublishRequest, shape: tuple[Any, Any, Any], path: str
) -> None:
    width, height, length = shape
    committed, handle = post(youtube, replace(request_, width=width, height=height, duration_seconds=length))
    assert committed.permalink.endswith(path + handle["video_id"])


def test_a_private_post_counts_as_published_once_it_was_committed(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    private = replace(request_, options={"privacy_status": "private", "made_for_kids": False})
    saved = staged(youtube, private)
    before = sim.count(platform="youtube")
    youtube.prepare_commit(private, saved[-1]).send(10.0)
    assert (before, sim.count(platform="youtube")) == (0, 1)
    assert isinstance(youtube.watch(private, saved[-1]), Published)


# -- staging


def test_the_units_of_the_commit_are_taken_before_the_upload_begins(
    youtube: Platform, request_: PublishRequest
) -> None:
    taken: list[tuple[str, str, int]] = []
    counting = replace(
        request_,
        reserve=lambda bucket, cost: taken.append(("now", bucket, cost)),
        reserve_ahead=lambda bucket, cost: taken.append(("ahead", bucket, cost)),
    )
    staged(youtube, counting)
    assert taken == [
        ("now", "uploads", 1),
        ("ahead", "units", 50),
        ("now", "inserts", 1),
        ("now", "units", 1),
    ]


def test_nothing_is_sent_when_our_own_count_is_used_up(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    def refuse(_bucket: str, _cost: int) -> None:
        raise PlatformRateLimitError(kind="quota")

    with pytest.raises(PlatformRateLimitError):
        youtube.stage(replace(request_, reserve=refuse), None, Saved())
    assert sim.requests(platform="youtube") == []


def test_a_chunk_stored_in_part_goes_on_behind_what_is_stored(
    make_registry: RegistryMaker, request_: PublishRequest, sim: Sim
) -> None:
    platform, saved = make_registry(YOUTUBE_CHUNK_SIZE="524288").get("youtube"), Saved()
    sim.fault("youtube.chunk", "store_partial", bytes=300_000)
    with pytest.raises(PlatformAPIError):
        platform.stage(request_, None, saved)
    assert isinstance(platform.stage(request_, saved[-1], saved), Staged)
    ranges = [sent["headers"]["Content-Range"] for sent in sim.requests(operation="youtube.last_chunk")]
    assert ranges == ["bytes 262144-599999/600000"]


def test_a_last_answer_that_was_lost_is_asked_for_and_nothing_is_uploaded_again(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    sim.fault("youtube.last_chunk", "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        youtube.stage(request_, None, saved)
    assert isinstance(youtube.stage(request_, saved[-1], saved), Staged)
    assert lost.value.kind == "transient"
    assert len(sim.requests(operation="youtube.session")) == 1
    assert saved[-1]["video_id"]


def test_a_finished_upload_whose_session_is_gone_is_found_by_its_tag(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    sim.fault("youtube.last_chunk", "drop_after")
    with pytest.raises(PlatformAPIError):
        youtube.stage(request_, None, saved)
    sim.fault("youtube.ask", "status", status=404)
    youtube.stage(request_, saved[-1], saved)
    assert len(sim.requests(operation="youtube.session")) == 1
    assert saved[-1]["video_id"]


def test_an_unfinished_upload_whose_session_is_gone_begins_anew(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = Saved()
    youtube.stage(replace(request_, should_yield=lambda: True), None, saved)
    sim.settings(upload_session_seconds=1.0)
    sim.advance(8 * 86_400)
    token = sim.token(platform="youtube", scopes=sorted(CASE.scopes))["access_token"]
    fresh = replace(request_, account=replace(request_.account, access_token=token))
    sim.settings(upload_session_seconds=604_800.0)
    assert isinstance(youtube.stage(fresh, saved[-1], saved), Staged)
    assert len(sim.requests(operation="youtube.session")) == 2


def test_a_new_video_that_is_not_shown_yet_is_waited_for_and_not_uploaded_again(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(list_lag_seconds=60.0)
    saved = Saved()
    early = youtube.stage(request_, None, saved)
    sim.advance(61)
    late = youtube.stage(request_, saved[-1], saved)
    assert (type(early), type(late)) == (Wait, Staged)
    assert len(sim.requests(operation="youtube.session")) == 1


def test_staging_waits_for_the_processing_longer_and_longer(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(processing_seconds=1000.0)
    later = replace(request_, due_at=clock.now() + timedelta(hours=5))
    saved = Saved()
    first = youtube.stage(later, None, saved)
    with time_machine.travel(clock.now() + timedelta(seconds=100), tick=False):
        second, now = youtube.stage(later, saved[-1], saved), clock.now()
    assert isinstance(first, Wait) and isinstance(second, Wait)
    assert timedelta(seconds=45) < second.until - now < timedelta(seconds=55)


def test_a_video_that_is_still_processed_goes_out_on_time(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(processing_seconds=1000.0)
    soon = replace(request_, due_at=clock.now() + timedelta(seconds=60))
    committed, _ = post(youtube, soon)
    assert isinstance(committed, Published)
    assert sim.count(platform="youtube") == 1


@pytest.mark.parametrize(
    ("reason", "error", "kind"),
    [
        ("codec", PlatformUploadError, "media"),
        ("unheard_of", PlatformUploadError, "media"),
        ("copyright", PlatformAPIError, "content"),
        ("uploaderAccountSuspended", PlatformAPIError, "account"),
    ],
)
def test_a_video_youtube_cannot_use_is_refused_before_its_time(
    youtube: Platform, request_: PublishRequest, reason: str, error: type[PlatformAPIError], kind: str
) -> None:
    with pytest.raises(error) as refused:
        youtube.stage(replace(request_, title=f"[sim:fail={reason}]"), None, Saved())
    assert (refused.value.kind, refused.value.platform_code) == (kind, reason)


# -- committing, locating, watching


def test_a_video_that_youtube_keeps_private_is_an_account_error(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(keeps_private=True)
    with pytest.raises(PlatformAPIError, match="keeps it private") as kept:
        post(youtube, request_)
    assert (kept.value.kind, len(sim.requests(operation="youtube.update"))) == ("account", 1)


def test_an_answer_without_a_privacy_is_read_back(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    sim.fault("youtube.update", "malformed", body={"id": "x"})
    assert isinstance(youtube.prepare_commit(request_, saved[-1]).send(10.0), Published)


def test_a_video_deleted_before_its_time_is_uploaded_again(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    youtube.remove(request_.account, saved[-1]["video_id"])
    assert isinstance(youtube.prepare_commit(request_, saved[-1]).send(10.0), HandleDead)
    assert isinstance(youtube.locate(request_, saved[-1]), Unknown)
    assert isinstance(youtube.stage(request_, {**saved[-1], "completed_at": 1.0}, saved), Staged)
    assert saved[-1]["video_id"] != saved[1]["video_id"]


def test_a_late_rejection_is_told_with_its_reason(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    late = replace(request_, caption="[sim:late-reject]")
    _, handle = post(youtube, late)
    before = youtube.watch(late, handle)
    sim.advance(60)
    found = youtube.watch(late, handle)
    assert isinstance(before, Published)
    assert isinstance(found, Rejected) and found.error.platform_code == "inappropriate"


@pytest.mark.parametrize(
    "body",
    [
        {"items": "none"},
        {"items": [{"id": 7}]},
        {"items": [{"id": "VIDEO", "status": []}]},
        {"items": [{"id": "VIDEO", "status": {"privacyStatus": 1, "uploadStatus": {}}}]},
        {"items": [{"id": "VIDEO", "status": {"privacyStatus": "public"}, "snippet": {"tags": [1, None]}}]},
    ],
)
def test_answers_of_the_wrong_shape_are_never_a_crash(
    youtube: Platform, request_: PublishRequest, sim: Sim, body: dict[str, Any]
) -> None:
    saved = staged(youtube, request_)
    text = str(body).replace("VIDEO", saved[-1]["video_id"]).replace("'", '"').replace("None", "null")
    sim.fault("youtube.videos", "malformed", body=text, times=-1)
    try:
        youtube.locate(request_, saved[-1])
    except PlatformAPIError as error:
        assert error.kind == "transient"


# -- a restored database knows less than happened


def test_a_post_made_after_the_snapshot_is_found_though_its_handle_is_of_the_middle_of_the_upload(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    youtube.prepare_commit(request_, saved[-1]).send(10.0)
    found = youtube.locate(request_, saved[0])
    assert saved[0]["video_id"] is None
    assert isinstance(found, Published) and found.remote_id == saved[-1]["video_id"]


def test_an_unfinished_upload_of_a_snapshot_is_not_committed_and_begun_anew(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    saved = staged(youtube, request_)
    assert isinstance(youtube.locate(request_, saved[0]), NotCommitted)
    assert isinstance(youtube.prepare_commit(request_, saved[0]).send(10.0), HandleDead)
    assert sim.count(platform="youtube") == 0
