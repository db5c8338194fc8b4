"""What follows a reel: its first comment, its figures, its removal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.exceptions import PlatformAPIError
from app.platforms import _instagram_rules as rules
from app.platforms.base import (
    Account,
    PlannedStep,
    Platform,
    PublishRequest,
    Stats,
    StepDone,
    StepLater,
    StepNotDone,
    StepUnknown,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_instagram import CASE, posted, refusal
from tests.sandbox_server import Sim

COMMENT = PlannedStep(rules.FIRST_COMMENT, {"text": "First!"})
BASIC = frozenset({"instagram_basic"})


@pytest.fixture
def instagram(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("instagram")


@pytest.fixture
def live(instagram: Platform, sim: Sim) -> PublishRequest:
    """A request whose post is there."""
    token = sim.token(platform="instagram", scopes=sorted(CASE.scopes))
    request = make_request(CASE, token, some_bytes(20_000))
    posted(instagram, request)
    return replace(request, remote_id=sim.posts()[0]["id"])


def test_a_first_comment_is_planned_where_one_was_written(instagram: Platform, live: PublishRequest) -> None:
    written = replace(live, options={"first_comment": "First!"})
    assert instagram.plan_steps(written, {}) == (COMMENT,)
    assert instagram.plan_steps(replace(live, options={"first_comment": " "}), {}) == ()


def test_a_comment_whose_answer_was_lost_is_found_and_not_written_twice(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    before = instagram.locate_step(live, COMMENT)
    sim.fault("instagram.comment", "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        instagram.perform_step(live, COMMENT)
    (made,) = sim.comments(platform="instagram")
    assert lost.value.kind == "ambiguous"
    assert isinstance(before, StepNotDone)
    assert instagram.locate_step(live, COMMENT) == StepDone({"id": made["id"]})


def test_our_comment_is_found_behind_many_others(instagram: Platform, live: PublishRequest) -> None:
    instagram.perform_step(live, COMMENT)
    for number in range(60):
        instagram.perform_step(live, PlannedStep(rules.FIRST_COMMENT, {"text": f"later {number}"}))
    assert isinstance(instagram.locate_step(live, COMMENT), StepDone)


def test_the_same_words_of_somebody_else_are_not_our_comment(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    others = {"data": [{"id": "1", "text": "First!", "username": "somebody"}]}
    nobodys = {"data": [{"id": "1", "text": "First!"}]}
    found = []
    for body in (others, nobodys):
        sim.fault("instagram.comments", "status", status=200, body=body)
        found.append(type(instagram.locate_step(live, COMMENT)))
    assert found == [StepNotDone, StepUnknown]


def test_a_comment_waits_until_the_post_is_ready(instagram: Platform, sim: Sim, live: PublishRequest) -> None:
    sim.fault("instagram.comment", "status", status=400, body=refusal(9007, 2207027))
    early = instagram.perform_step(replace(live, remote_id=None), COMMENT)
    late = instagram.perform_step(live, COMMENT)
    assert isinstance(early, StepLater) and isinstance(late, StepLater)
    assert isinstance(instagram.perform_step(live, COMMENT), StepDone)


def test_a_comment_without_its_permission_does_not_doubt_the_connection(
    instagram: Platform, live: PublishRequest
) -> None:
    few = replace(live, account=replace(live.account, scopes=BASIC))
    with pytest.raises(PlatformAPIError, match="instagram_manage_comments") as refused:
        instagram.perform_step(few, COMMENT)
    assert refused.value.kind == "config"


# -- figures


def test_figures_come_from_insights_and_times_in_seconds(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    values = {"views": 7, "saved": 2, "ig_reels_avg_watch_time": 2500, "likes": None}
    data = [{"name": name, "values": [{"value": value}]} for name, value in values.items()]
    sim.fault("instagram.insights", "status", status=200, body={"data": data})
    found = instagram.stats(live.account, [str(live.remote_id), "404"])
    more = {"total_interactions": None}
    assert found == {live.remote_id: Stats(views=7, saves=2, average_watch_seconds=2.5, more=more)}


def test_a_metric_instagram_dropped_costs_only_itself(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    sim.fault("instagram.insights", "status", status=400, body=refusal(100))
    (found,) = instagram.stats(live.account, [str(live.remote_id)]).values()
    assert (found.views is None, found.watch_seconds) == (False, None)


def test_without_the_permission_likes_and_comments_are_told(
    instagram: Platform, live: PublishRequest
) -> None:
    (found,) = instagram.stats(replace(live.account, scopes=BASIC), [str(live.remote_id)]).values()
    assert (found.comments, found.views) == (0, None)
    assert found.likes is not None


# -- removal


def test_a_post_is_removed_once_and_again_is_no_error(
    instagram: Platform, sim: Sim, live: PublishRequest
) -> None:
    instagram.remove(live.account, str(live.remote_id))
    instagram.remove(live.account, str(live.remote_id))
    (post,) = sim.posts()
    assert post["removed"] is True


@pytest.mark.parametrize("scope", ["instagram_business_basic", "instagram_basic"])
def test_what_may_not_be_removed_is_said_without_asking(instagram: Platform, sim: Sim, scope: str) -> None:
    with pytest.raises(PlatformAPIError) as refused:
        instagram.remove(Account("1", "a", "token", frozenset({scope})), "17")
    assert refused.value.kind == "config"
    assert sim.requests(operation="instagram.remove") == []
