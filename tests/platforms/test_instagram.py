"""Instagram's own rules; what all platforms promise is in test_contract.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError, PlatformUploadError
from app.platforms import _instagram_rules as rules
from app.platforms import _instagram_staging as staging
from app.platforms._instagram_container import MAX_FAILURES
from app.platforms._transport import STRETCH
from app.platforms.base import Platform, PublishRequest, Staged, Wait
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

FACEBOOK_SCOPES = frozenset(scope for scope in rules.SCOPES if not scope.startswith("instagram_business_"))
CASE = Case(
    name="instagram",
    options={},
    scopes=FACEBOOK_SCOPES,
    commit="instagram.publish",
    ask="instagram.container_status",
    refresh="instagram.own_refresh",
    begin="instagram.container",
    stretch=200_000,
    handle_seconds=86_400,
    secret_keys=("uri",),
    hijack={"id": "17889", "uri": "https://evil.example/ig-api-upload/stolen"},
    commits_bytes=False,
    rotates=False,
    refreshes=False,
    has_verifier=False,
)


class Saved(list[Mapping[str, Any]]):
    """The handles saved, in order."""

    def __call__(self, handle: Mapping[str, Any]) -> None:
        self.append(handle)


@pytest.fixture
def instagram(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("instagram")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="instagram", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(20_000))


def staged(platform: Platform, request: PublishRequest) -> Mapping[str, Any]:
    """Stage; return the handle."""
    saved = Saved()
    outcome = platform.stage(request, None, saved)
    assert isinstance(outcome, Staged), outcome
    return saved[-1]


def posted(platform: Platform, request: PublishRequest) -> Mapping[str, Any]:
    """Stage and commit; return the handle."""
    handle = staged(platform, request)
    platform.prepare_commit(request, handle).send(5.0)
    return handle


def refusal(code: int, subcode: int = 0) -> dict[str, Any]:
    fault: dict[str, Any] = {"message": "secret-in-prose", "type": "OAuthException", "code": code}
    return {"error": fault | ({"error_subcode": subcode} if subcode else {})}


# -- staging


def test_what_the_user_chose_is_what_instagram_is_told(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    options = {
        "share_to_feed": False,
        "thumb_offset": 1500,
        "collaborators": " @one, two ",
        "is_ai_generated": True,
    }
    staged(instagram, replace(request_, options=options))
    (made,) = sim.requests(operation="instagram.container")
    assert made["body"] == {
        "media_type": "REELS",
        "caption": "A caption",
        "share_to_feed": "false",
        "is_ai_generated": "true",
        "collaborators": '["one","two"]',
        "thumb_offset": "1500",
        "upload_type": "resumable",
    }


def test_without_a_caption_the_title_is_posted(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    posted(instagram, replace(request_, caption=" "))
    assert [post["caption"] for post in sim.posts()] == ["A title"]


def test_each_container_is_counted_before_it_is_made(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    def reserve(bucket: str, cost: int) -> None:
        raise PlatformRateLimitError("full", {"bucket": bucket, "cost": cost}, kind="quota")

    with pytest.raises(PlatformRateLimitError) as full:
        instagram.stage(replace(request_, reserve=reserve), None, Saved())
    assert full.value.details == {"bucket": "containers", "cost": 1}
    assert sim.requests(operation="instagram.container") == []


def test_an_upload_cut_off_goes_on_from_where_it_was(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved()
    sim.fault("instagram.upload", "store_partial", bytes=7_000)
    with pytest.raises(PlatformAPIError) as cut:
        instagram.stage(request_, None, saved)
    outcome = instagram.stage(request_, saved[-1], saved)
    assert cut.value.kind == "transient"
    assert isinstance(outcome, Staged)
    offsets = [made["headers"]["Offset"] for made in sim.requests(operation="instagram.upload")]
    assert offsets == ["0", "7000"]
    assert len(sim.requests(operation="instagram.container")) == 1


def test_bytes_that_arrived_though_the_answer_was_lost_are_not_sent_again(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved()
    sim.fault("instagram.upload", "drop_after")
    with pytest.raises(PlatformAPIError):
        instagram.stage(request_, None, saved)
    assert isinstance(instagram.stage(request_, saved[-1], saved), Staged)
    assert len(sim.requests(operation="instagram.upload")) == 1


def wait_until_it_is_kept(sim: Sim) -> None:
    """Wait until the sandbox has noticed that an upload was broken off, and kept what came."""
    ends = time.monotonic() + 5
    while not any(upload["received"] for upload in sim.call("GET", "uploads")["uploads"]):
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_large_upload_lets_others_go_first_and_goes_on_from_what_arrived(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    asked = replace(request_, source=MemorySource(some_bytes(2 * STRETCH)), should_yield=lambda: True)
    saved = Saved()

    first = instagram.stage(asked, None, saved)

    assert isinstance(first, Wait)
    assert saved[-1]["uploaded"] == STRETCH
    wait_until_it_is_kept(sim)
    assert isinstance(instagram.stage(replace(asked, should_yield=lambda: False), saved[-1], saved), Staged)
    offsets = [int(made["headers"]["Offset"]) for made in sim.requests(operation="instagram.upload")]
    assert offsets[0] == 0 and STRETCH // 2 <= offsets[1] <= STRETCH
    assert len(sim.requests(operation="instagram.container")) == 1


def test_a_large_upload_of_which_nothing_was_kept_is_sent_whole(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    asked = replace(request_, source=MemorySource(some_bytes(3 * STRETCH)), should_yield=lambda: True)
    saved = Saved()
    instagram.stage(asked, None, saved)
    wait_until_it_is_kept(sim)
    saved.append({**saved[-1], "uploaded": 3 * STRETCH - 1})  # of which Instagram has less than half

    instagram.stage(asked, saved[-1], saved)

    assert saved[-1]["uploaded"] == 3 * STRETCH
    assert len(sim.requests(operation="instagram.upload")) == 2


def test_a_video_being_worked_on_is_waited_for_at_growing_distances(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    sim.settings(processing_seconds=600.0)
    saved, pauses = Saved(), []
    outcome = instagram.stage(request_, None, saved)
    for _ in range(6):
        assert isinstance(outcome, Wait)
        pauses.append(round((outcome.until - clock.now()).total_seconds()))
        outcome = instagram.stage(request_, saved[-1], saved)
    sim.advance(600)
    assert pauses == [5, 5, 10, 20, 30, 60]
    assert isinstance(instagram.stage(request_, saved[-1], saved), Staged)


def test_a_processing_failure_may_still_end_well(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    body = {"debug_info": {"retriable": False, "type": "ProcessingFailedError", "message": "failed"}}
    sim.fault("instagram.upload", "status", status=400, when="after", body=body)
    assert staged(instagram, request_)["is_doubtful"] is True


def test_a_container_that_failed_is_replaced_three_times_and_then_given_up(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    failing, saved, seen = replace(request_, caption="[sim:fail=2207082]"), Saved(), []
    for _ in range(3):
        with pytest.raises(PlatformAPIError) as failed:
            instagram.stage(failing, saved[-1] if saved else None, saved)
        seen.append((failed.value.kind, failed.value.platform_code))
    assert seen == [("transient", "container/2207082")] * 2 + [("media", "container/2207082")]
    assert len(sim.requests(operation="instagram.container")) == 3


def test_a_video_instagram_cannot_use_is_refused_at_once(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    with pytest.raises(PlatformUploadError) as refused:
        instagram.stage(replace(request_, caption="[sim:fail=2207026]"), None, Saved())
    assert refused.value.platform_code == "container/2207026"
    assert len(sim.requests(operation="instagram.container")) == 1


def test_a_container_unknown_for_a_moment_is_asked_about_again(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved([staged(instagram, request_)])
    sim.fault("instagram.container_status", "status", status=400, body=refusal(100, 33), times=2)
    for _ in range(2):
        with pytest.raises(PlatformAPIError) as missed:
            instagram.stage(request_, saved[-1], saved)
        assert missed.value.kind == "transient"
    assert isinstance(instagram.stage(request_, saved[-1], saved), Staged)
    assert len(sim.requests(operation="instagram.container")) == 1


def test_a_container_unknown_three_times_is_made_anew(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved([{**staged(instagram, request_), "misses": 2}])
    sim.fault("instagram.container_status", "status", status=400, body=refusal(100, 33))
    assert isinstance(instagram.stage(request_, saved[-1], saved), Staged)
    assert len(sim.requests(operation="instagram.container")) == 2


def test_an_answer_without_an_id_is_asked_for_again(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    sim.fault("instagram.container", "status", status=200, body={"id": ["17"], "uri": 7})
    with pytest.raises(PlatformAPIError) as broken:
        instagram.stage(request_, None, Saved())
    assert broken.value.kind == "transient"


# -- texts, options and tables


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("x" * 2200, 0),
        ("x" * 2201, 1),
        ("😀" * 2200, 0),
        ("#a " * 30, 0),
        ("#a " * 31, 1),
        ("@a " * 20, 0),
        ("@a " * 21, 1),
    ],
)
def test_captions_are_counted_at_their_limits(instagram: Platform, caption: str, count: int) -> None:
    assert len(instagram.validate(title="", caption=caption, options={})) == count
    assert len(instagram.validate(title=caption, caption="", options={})) == count


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"collaborators": "a,b,c,d"}, "options.collaborators"),
        ({"collaborators": "not a name"}, "options.collaborators"),
        ({"first_comment": "x" * 2201}, "options.first_comment"),
        ({"thumb_offset": -1}, "options.thumb_offset"),
    ],
)
def test_options_instagram_would_refuse_are_problems(
    instagram: Platform, options: dict[str, Any], field: str
) -> None:
    (problem,) = instagram.validate(title="", caption="", options=options)
    assert problem.field == field


@pytest.mark.parametrize(("subcode", "row"), rules.SUBCODES.items())
def test_every_subcode_becomes_its_error(
    instagram: Platform, sim: Sim, request_: PublishRequest, subcode: int, row: Any
) -> None:
    sim.fault("instagram.container", "status", status=400, body=refusal(-1, subcode))
    with pytest.raises(row.raises) as caught:
        instagram.stage(request_, None, Saved())
    assert caught.value.kind == row.kind
    assert str(subcode) in (caught.value.platform_code or "")
    assert "secret-in-prose" not in repr(caught.value.to_dict())


def test_sentences_are_for_people() -> None:
    for subcode, row in rules.SUBCODES.items():
        assert row.sentence.endswith("."), subcode
        assert "_" not in row.sentence.replace("PUBLIC_URL", ""), subcode


def test_pauses_cover_every_failure_that_is_tried_again() -> None:
    assert len(staging.RETRY_AFTER) >= MAX_FAILURES - 1
