"""Figures are collected by themselves, many in a call, and asked for when somebody wants them; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app import clock
from app.domain.principal import Principal
from app.exceptions import PlatformAPIError, ResourceNotFoundError
from app.extensions import db
from app.models import Channel, Step, Target
from app.platforms.base import Stats
from app.services import stats, steps
from tests.services.afterwards import Afterwards, bring_forward, install, publish, step_of, work_steps
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")
DAY = timedelta(days=1)


@pytest.fixture
def platform(context: object, monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    made = install(monkeypatch)
    made.plans = []
    return made


@pytest.fixture
def target(platform: Afterwards, claimed: Claimed) -> Target:
    return published(claimed, "r1")


def published(claimed: Claimed, remote_id: str, **columns: Any) -> Target:
    """Return a detached target whose figures are to be collected."""
    item = claimed("published", published_at=clock.now(), remote_id=remote_id)
    publish(item.ref.id, remote_id=remote_id, **columns)
    steps.plan(item, remote_id=remote_id)
    db.session.commit()
    found = db.session.get_one(Target, item.ref.id)
    db.session.expunge_all()
    return found


def read(target: Target) -> Target:
    db.session.rollback()
    db.session.expire_all()
    return db.session.get_one(Target, target.id)


def ask(target: Target) -> stats.Figures:
    return stats.get(Principal(workspace_id=target.workspace_id, user_id=None, role="viewer"), target.id)


def trouble(kind: str) -> PlatformAPIError:
    return PlatformAPIError("trouble", platform="tiktok", kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(0), HOUR),
        (HOUR, 5 * HOUR),
        (7 * HOUR, 17 * HOUR),
        (25 * HOUR, 23 * HOUR),
        (29.5 * DAY, 0.5 * DAY),
        (30 * DAY, None),
    ],
    ids=str,
)
def test_looks_become_rarer_and_end_after_a_month(age: timedelta, wait: timedelta | None):
    now = clock.now()

    found = stats.next_look(now, published_at=now - age)

    assert found == (None if wait is None else now + wait)


def test_figures_are_collected_an_hour_after_publication(platform: Afterwards, target: Target):
    first = step_of(target.id, "figures")
    assert first.next_at is not None
    assert timedelta(minutes=59) < first.next_at - clock.now() <= HOUR
    platform.says["stats"] = [{"r1": Stats(views=7, likes=0)}]

    bring_forward()
    work_steps()

    found = read(target)
    assert found.stats is not None
    assert (found.stats["views"], found.stats["likes"], found.stats["comments"]) == (7, 0, None)
    assert found.stats_at is not None
    again = step_of(target.id, "figures")
    assert (again.state, again.lease_until) == ("recurring", None)
    assert again.next_at is not None
    assert again.next_at > clock.now() + timedelta(minutes=30)


def test_one_call_asks_for_many_posts_of_a_channel(platform: Afterwards, claimed: Claimed):
    targets = [published(claimed, f"r{number}") for number in range(3)]
    db.session.execute(update(Target).values(channel_id=targets[0].channel_id))
    bring_forward()

    work_steps()

    asked = [ids for what, ids in platform.asked if what == "stats"]
    assert sorted(len(ids) for ids in asked) == [1, 2]
    assert sorted(sum(asked, ())) == ["r0", "r1", "r2"]


def test_a_post_too_old_is_not_asked_about_any_more(platform: Afterwards, target: Target):
    publish(target.id, published_at=clock.now() - 31 * DAY)
    bring_forward()

    work_steps()

    assert (step_of(target.id, "figures").state, step_of(target.id, "figures").next_at) == ("done", None)
    assert len(platform.asked) == 1


@pytest.mark.parametrize(
    "columns", [{"paused_at": clock.now()}, {"status": "needs_reconnect"}], ids=["paused", "needs_reconnect"]
)
def test_a_channel_that_is_stopped_is_left_alone(
    platform: Afterwards, target: Target, columns: dict[str, Any]
):
    db.session.execute(update(Channel).values(columns))
    bring_forward()

    work_steps()

    step = step_of(target.id, "figures")
    assert platform.asked == []
    assert step.state == "recurring"
    assert step.next_at is not None
    assert step.next_at > clock.now()


def test_trouble_puts_collecting_off_and_off(platform: Afterwards, target: Target):
    platform.says["stats"] = [trouble("transient")] * 8
    for _ in range(8):
        bring_forward()
        work_steps()

    step = step_of(target.id, "figures")
    assert step.retries == 8
    assert step.next_at is not None
    assert step.next_at > clock.now() + timedelta(minutes=30)
    assert read(target).stats is None


def test_who_asks_gets_what_the_platform_says_now_and_then_what_is_kept(platform: Afterwards, target: Target):
    platform.says["stats"] = [{"r1": Stats(views=3, more={"clicks": 1})}]

    first, second = ask(target), ask(target)

    assert (first.stats["views"], first.stats["likes"], first.stats["more"]) == (3, None, {"clicks": 1})
    assert first.measured_at is not None
    assert second == first
    assert len(platform.asked) == 1


def test_old_figures_are_asked_for_anew(platform: Afterwards, target: Target):
    publish(target.id, stats={"views": 1}, stats_at=clock.now() - timedelta(minutes=11))
    platform.says["stats"] = [{"r1": Stats(views=2)}]

    assert ask(target).stats["views"] == 2


def test_old_figures_come_with_the_reason_why_there_are_no_new_ones(platform: Afterwards, target: Target):
    old = clock.now() - timedelta(minutes=11)
    publish(target.id, stats={"views": 1}, stats_at=old)
    platform.says["stats"] = [trouble("transient")]

    found = ask(target)

    assert (found.stats["views"], found.measured_at) == (1, old)
    assert found.error is not None
    assert found.error["kind"] == "transient"


def test_without_any_figures_the_platforms_trouble_is_the_answer(platform: Afterwards, target: Target):
    platform.says["stats"] = [trouble("transient")]

    with pytest.raises(PlatformAPIError):
        ask(target)


def test_a_post_the_platform_does_not_know_has_no_figures(platform: Afterwards, target: Target):
    platform.says["stats"] = [{"other": Stats(views=9)}]

    found = ask(target)

    assert (found.measured_at, found.stats["views"], found.error) == (None, None, None)


@pytest.mark.parametrize(
    "columns", [{"remote_id": None}, {"state": "removed"}, {"state": "scheduled"}], ids=str
)
def test_nobody_is_asked_about_what_cannot_be_known(
    platform: Afterwards, target: Target, columns: dict[str, Any]
):
    publish(target.id, **columns)

    assert ask(target).measured_at is None
    assert platform.asked == []


@pytest.mark.usefixtures("platform")
def test_another_workspaces_figures_are_nobodys(target: Target):
    with pytest.raises(ResourceNotFoundError):
        stats.get(Principal(workspace_id=uuid.uuid4(), user_id=None, role="viewer"), target.id)


def test_figures_that_kill_their_workers_are_left_for_a_day(platform: Afterwards, target: Target):
    bring_forward(attempts=3)

    assert work_steps() == 0

    step = db.session.get_one(Step, step_of(target.id, "figures").id)
    assert (step.state, step.attempts, platform.asked) == ("recurring", 0, [])
    assert step.next_at is not None
    assert step.next_at > clock.now() + 23 * HOUR
