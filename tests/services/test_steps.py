"""What follows a post is written down with its publication; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Step
from app.platforms.base import Accepted, PlannedStep, Published, Rejected
from app.services import settling, steps, targets
from app.services.publishing import Loaded
from tests.services.afterwards import Afterwards, install, publish, step_of
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")
SOON = timedelta(seconds=5)


@pytest.fixture
def platform(context: object, monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    return install(monkeypatch)


def kinds(item: Loaded) -> list[str]:
    db.session.rollback()
    return sorted(db.session.scalars(select(Step.kind).where(Step.target_id == item.ref.id)))


@pytest.mark.usefixtures("platform")
@pytest.mark.parametrize("state", ["publishing", "confirming", "awaiting_user"])
def test_publication_writes_down_what_follows_it(claimed: Claimed, state: str):
    item = claimed(state)

    settling.settle([(item, Published("r1", None))])

    step = step_of(item.ref.id)
    assert kinds(item) == ["figures", "first_comment"]
    assert (step.state, step.payload) == ("waiting", {"text": "first"})
    assert step.next_at is not None
    assert step.next_at <= clock.now()


@pytest.mark.usefixtures("platform")
def test_nothing_follows_what_is_not_published(claimed: Claimed):
    item = claimed("publishing")

    settling.settle([(item, Accepted(clock.now() + HOUR))])

    assert kinds(item) == []


@pytest.mark.usefixtures("platform")
def test_a_person_who_found_the_post_has_its_steps_planned_as_well(claimed: Claimed):
    item = claimed("unknown", remote_id=None)
    person = principal_of(item)

    targets.resolve(person, item.ref.id, outcome="published", url="https://example.com/1")

    assert kinds(item) == ["figures", "first_comment"]


def principal_of(item: Loaded) -> targets.Principal:
    return targets.Principal(workspace_id=item.ref.workspace_id, user_id=None, role="owner")


def test_planning_twice_leaves_what_is_there(platform: Afterwards, claimed: Claimed):
    item = claimed("publishing")
    steps.plan(item, remote_id="r1")
    platform.plans = [PlannedStep("first_comment", {"text": "second"})]

    steps.plan(item, remote_id="r1")
    db.session.commit()

    assert step_of(item.ref.id).payload == {"text": "first"}


def test_a_fault_in_planning_does_not_lose_the_publication(platform: Afterwards, claimed: Claimed):
    item = claimed("publishing")
    platform.plans = None  # type: ignore[assignment]  # a list is made of it

    settling.settle([(item, Published("r1", None))])

    assert targets.get(principal_of(item), item.ref.id).state == "published"
    assert kinds(item) == ["figures"]


@pytest.mark.usefixtures("platform")
def test_a_step_waits_for_its_posts_id_and_the_watch_that_finds_it_wakes_it(claimed: Claimed):
    item = claimed("published", published_at=clock.now())
    steps.plan(item, remote_id=None)
    db.session.commit()
    waits_until = step_of(item.ref.id).next_at

    settling.settle([(item, Published("r1", None))])

    assert waits_until is not None
    assert waits_until > clock.now() + SOON
    woken = step_of(item.ref.id).next_at
    assert woken is not None
    assert woken <= clock.now()


@pytest.mark.usefixtures("platform")
def test_a_post_that_is_taken_down_takes_its_steps_along(claimed: Claimed):
    item = claimed("published", published_at=clock.now())
    publish(item.ref.id, lease_until=clock.now() + HOUR)
    steps.plan(item, remote_id="r1")
    gone = Rejected(PlatformAPIError("taken down", platform="tiktok", kind="content"))

    settling.settle([(item, gone)])
    settling.settle([(item, gone)])

    assert [step_of(item.ref.id, kind).state for kind in kinds(item)] == ["cancelled", "cancelled"]
    assert step_of(item.ref.id).next_at is None
