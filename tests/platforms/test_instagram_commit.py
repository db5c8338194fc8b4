"""Instagram at the due time and after: the preflight, the commit, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError
from app.platforms.base import (
    Handle,
    HandleDead,
    NotCommitted,
    NotStaged,
    Pending,
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
from tests.platforms.test_instagram import CASE, posted, refusal, staged
from tests.sandbox_server import Sim


@pytest.fixture
def instagram(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("instagram")


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="instagram", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(20_000))


# -- preflight


def test_a_day_that_is_full_is_a_quota_error(instagram: Platform, sim: Sim, request_: PublishRequest) -> None:
    sim.settings(instagram_quota=1)
    posted(instagram, request_)
    handle = staged(instagram, replace(request_, caption="another"))
    left = instagram.posting_options(request_.account).posts_left
    with pytest.raises(PlatformRateLimitError) as full:
        instagram.preflight(request_, handle)
    assert (full.value.kind, full.value.details) == ("quota", {"found": 1, "allowed": 1})
    assert full.value.retry_at is not None and full.value.retry_at > clock.now()
    assert left == 0


def test_preflight_of_what_is_published_already_leads_to_asking(
    instagram: Platform, request_: PublishRequest
) -> None:
    handle = posted(instagram, request_)
    with pytest.raises(PlatformAPIError) as known:
        instagram.preflight(request_, handle)
    assert known.value.kind == "ambiguous"


def test_a_container_without_its_bytes_is_staged_on_instead_of_waited_for(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved: list[Handle] = []
    sim.fault("instagram.upload", "drop_before")
    with pytest.raises(PlatformAPIError):
        instagram.stage(request_, None, saved.append)

    found = instagram.preflight(request_, saved[-1])

    assert isinstance(found, NotStaged)
    assert isinstance(instagram.stage(request_, saved[-1], saved.append), Staged | Wait)
    assert instagram.preflight(request_, staged(instagram, request_)) is None


def test_a_limit_that_is_not_told_stops_nothing(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publishing_limit", "status", status=400, body=refusal(100), times=2)
    instagram.preflight(request_, handle)
    assert instagram.posting_options(request_.account).posts_left is None


# -- committing


def test_suspected_spam_is_not_believed_before_the_container_was_asked(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publish", "status", status=400, when="after", body=refusal(4, 2207051))
    with pytest.raises(PlatformAPIError) as doubted:
        instagram.prepare_commit(request_, handle).send(5.0)
    assert (doubted.value.kind, doubted.value.platform_code) == ("ambiguous", "4/2207051")
    assert isinstance(instagram.locate(request_, handle), Published)
    assert sim.count() == 1


def test_suspected_spam_that_was_not_posted_ends_the_post_instead_of_being_tried_again(
    instagram: Platform, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    doubted = replace(request_, doubt="4/2207051", committed_at=clock.now() - timedelta(seconds=30))
    early = instagram.locate(doubted, handle)
    late = instagram.locate(replace(doubted, committed_at=clock.now() - timedelta(seconds=61)), handle)
    assert isinstance(early, Pending)
    assert isinstance(late, Rejected)
    assert late.error.kind == "account"


@pytest.mark.parametrize(
    ("code", "subcode", "kind"),
    [
        (1, 0, "ambiguous"),
        (2, 0, "ambiguous"),
        (-1, 2207001, "ambiguous"),
        (-1, 2207032, "ambiguous"),
        (77, 0, "ambiguous"),
        (4, 0, "rate"),
        (80002, 0, "rate"),
        (190, 463, "reauth"),
        (10, 0, "reauth"),
        (9, 2207042, "quota"),
        (25, 2207050, "account"),
        (9007, 2207027, "transient"),
        (36004, 2207010, "content"),
        (352, 2207026, "media"),
    ],
)
def test_only_what_certainly_published_nothing_is_a_refusal(
    instagram: Platform, sim: Sim, request_: PublishRequest, code: int, subcode: int, kind: str
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publish", "status", status=400, body=refusal(code, subcode))
    with pytest.raises(PlatformAPIError) as refused:
        instagram.prepare_commit(request_, handle).send(5.0)
    assert refused.value.kind == kind


@pytest.mark.parametrize(("code", "subcode"), [(36004, 2207010), (25, 2207050), (9007, 2207027)])
def test_a_refusal_of_what_was_published_nevertheless_is_in_doubt(
    instagram: Platform, sim: Sim, request_: PublishRequest, code: int, subcode: int
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publish", "status", status=400, when="after", body=refusal(code, subcode))
    with pytest.raises(PlatformAPIError) as doubted:
        instagram.prepare_commit(request_, handle).send(5.0)
    assert doubted.value.kind == "ambiguous"


@pytest.mark.parametrize(("code", "subcode"), [(24, 2207006), (24, 2207008), (-2, 2207020)])
def test_a_container_that_is_no_more_is_a_dead_handle(
    instagram: Platform, sim: Sim, request_: PublishRequest, code: int, subcode: int
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publish", "status", status=400, body=refusal(code, subcode))
    assert isinstance(instagram.prepare_commit(request_, handle).send(5.0), HandleDead)


def test_a_container_nobody_can_ask_about_after_a_refusal_is_in_doubt(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.publish", "status", status=400, body=refusal(24, 2207008))
    sim.fault("instagram.container_status", "status", status=503)
    with pytest.raises(PlatformAPIError) as doubted:
        instagram.prepare_commit(request_, handle).send(5.0)
    assert doubted.value.kind == "ambiguous"


# -- asking


def test_not_published_is_believed_a_minute_after_the_commit(
    instagram: Platform, request_: PublishRequest
) -> None:
    handle, now = staged(instagram, request_), clock.now()
    early = instagram.locate(replace(request_, committed_at=now - timedelta(seconds=30)), handle)
    late = instagram.locate(replace(request_, committed_at=now - timedelta(seconds=61)), handle)
    assert isinstance(early, Pending)
    assert early.until == now + timedelta(seconds=30)
    assert isinstance(late, NotCommitted)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("ERROR", Rejected), ("EXPIRED", HandleDead), ("BRAND_NEW", Unknown), ("IN_PROGRESS", NotCommitted)],
)
def test_every_state_of_a_container_settles_the_question(
    instagram: Platform, sim: Sim, request_: PublishRequest, status: str, outcome: type
) -> None:
    handle = staged(instagram, request_)
    sim.fault("instagram.container_status", "status", status=200, body={"status_code": status, "status": 9})
    assert isinstance(instagram.locate(request_, handle), outcome)


def test_a_lost_id_is_found_by_the_only_post_that_fits(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    posted(instagram, replace(request_, caption="another caption"))
    handle = posted(instagram, replace(request_, caption="mine\n"))
    found = instagram.locate(replace(request_, caption="mine\n", committed_at=clock.now()), handle)
    (made,) = sim.posts(caption="mine\n")
    assert found == Published(made["id"], made["permalink"])


def test_two_posts_that_fit_are_not_guessed_between(instagram: Platform, request_: PublishRequest) -> None:
    posted(instagram, request_)
    handle = posted(instagram, request_)
    assert instagram.locate(request_, handle) == Published(None, None, complete=False)


def test_an_older_post_with_the_same_caption_is_not_taken_for_ours(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    posted(instagram, request_)
    handle = staged(instagram, request_)
    sim.settings(moderation_seconds=600.0)
    instagram.prepare_commit(request_, handle).send(5.0)
    since = clock.now() + timedelta(seconds=120)
    found = instagram.locate(replace(request_, committed_at=since), handle)
    assert found == Published(None, None, complete=False)


def test_a_container_instagram_forgot_is_looked_for_and_then_left_to_a_person(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle, now = staged(instagram, request_), clock.now()
    sim.fault("instagram.container_status", "status", status=400, body=refusal(100, 33), times=-1)
    soon = instagram.locate(replace(request_, committed_at=now - timedelta(seconds=90)), handle)
    later = instagram.locate(replace(request_, committed_at=now - timedelta(minutes=11)), handle)
    instagram.prepare_commit(request_, handle).send(5.0)
    listed = instagram.locate(replace(request_, committed_at=now), handle)
    assert (type(soon), type(later), type(listed)) == (Pending, Unknown, Published)


def test_the_address_of_a_post_comes_with_the_watch(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = staged(instagram, request_)
    first = instagram.prepare_commit(request_, handle).send(5.0)
    assert isinstance(first, Published) and first.complete is False
    later = instagram.watch(replace(request_, remote_id=first.remote_id), handle)
    (made,) = sim.posts()
    assert later == Published(made["id"], made["permalink"])


def test_a_removed_post_is_noticed(instagram: Platform, sim: Sim, request_: PublishRequest) -> None:
    handle = posted(instagram, request_)
    (made,) = sim.posts()
    sim.remove_post(made["id"])
    gone = instagram.watch(replace(request_, remote_id=made["id"]), handle)
    assert isinstance(gone, Rejected)
    assert gone.error.platform_code == "removed"


def test_a_post_that_cannot_be_read_but_is_listed_is_there(
    instagram: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = posted(instagram, request_)
    (made,) = sim.posts()
    sim.fault("instagram.media", "status", status=400, body=refusal(100, 33))
    known = instagram.watch(replace(request_, remote_id=made["id"]), handle)
    assert known == Published(made["id"], None, complete=False)
