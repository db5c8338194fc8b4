"""Steps are done once, asked about when nobody knows, and given up with a reason; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.extensions import db
from app.models import Attempt, Channel, Credential, Event, Instance, Step, Workspace
from app.platforms.base import StepDone, StepLater, StepNotDone, StepUnknown
from app.services import credentials, instance, step_ends, steps
from tests.services.afterwards import Afterwards, bring_forward, install, publish, step_of, work_steps
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def platform(context: object, monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    made = install(monkeypatch)
    made.max_stats = 0  # type: ignore[misc]  # figures have tests of their own
    return made


@pytest.fixture
def target_id(platform: Afterwards, claimed: Claimed) -> uuid.UUID:
    """A published target whose first comment is to be made."""
    item = claimed("published", published_at=clock.now(), remote_id="r1")
    steps.plan(item, remote_id="r1")
    db.session.commit()
    return item.ref.id


def trouble(kind: str, **facts: Any) -> PlatformAPIError:
    return PlatformAPIError("trouble", platform="tiktok", kind=kind, **facts)  # type: ignore[arg-type]


def events() -> list[str]:
    db.session.rollback()
    return [row.type for row in db.session.scalars(select(Event)) if row.type.startswith("step.")]


def test_a_step_is_done_told_and_in_the_ledger(platform: Afterwards, target_id: uuid.UUID):
    assert work_steps() == 1

    step = step_of(target_id)
    assert (step.state, step.result, step.next_at, step.lease_until) == ("done", {"id": "first"}, None, None)
    assert platform.asked == [("perform", "r1")]
    assert events() == ["step.done"]
    (attempt,) = db.session.scalars(select(Attempt).where(Attempt.step_id == step.id))
    assert (attempt.operation, attempt.outcome) == ("step.first_comment", "StepDone")
    assert work_steps() == 0


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (trouble("transient"), "waiting"),
        (trouble("rate"), "waiting"),
        (trouble("quota"), "waiting"),
        (trouble("content"), "failed"),
        (trouble("account"), "failed"),
        (trouble("ambiguous"), "doing"),
        (RuntimeError("ours"), "doing"),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
def test_trouble_with_a_step_goes_by_its_kind(
    platform: Afterwards, target_id: uuid.UUID, error: Exception, state: str
):
    platform.says["perform"] = [error]

    work_steps()

    step = step_of(target_id)
    assert step.state == state
    assert (step.next_at is None) == (state == "failed")
    assert step.lease_until is None
    assert step.error is not None
    assert events() == (["step.failed"] if state == "failed" else [])


@pytest.mark.parametrize(
    ("found", "calls", "state"),
    [
        (StepDone({"id": "c1"}), ["perform", "locate"], "done"),
        (StepNotDone(), ["perform", "locate", "perform"], "done"),
        (StepUnknown("cannot be listed"), ["perform", "locate"], "unknown"),
        (StepLater(clock.now() + HOUR), ["perform", "locate"], "doing"),
        (trouble("transient"), ["perform", "locate"], "doing"),
        (trouble("content"), ["perform", "locate"], "unknown"),
    ],
    ids=["done", "not_done", "unknown", "later", "transient", "content"],
)
def test_what_may_have_been_done_is_asked_about_first(
    platform: Afterwards, target_id: uuid.UUID, found: Any, calls: list[str], state: str
):
    platform.says = {"perform": [trouble("ambiguous")], "locate": [found]}
    work_steps()

    bring_forward()
    work_steps()

    assert [what for what, _ in platform.asked] == calls
    assert step_of(target_id).state == state


def test_a_step_whose_worker_died_after_the_intent_is_asked_about(platform: Afterwards, target_id: uuid.UUID):
    db.session.execute(update(Step).values(state="doing", intent_at=clock.now(), attempts=1))
    db.session.commit()
    platform.says["locate"] = [StepDone({"id": "c1"})]

    work_steps()

    assert platform.asked == [("locate", "r1")]
    assert step_of(target_id).result == {"id": "c1"}


def test_a_repeatable_step_is_simply_done_again(platform: Afterwards, target_id: uuid.UUID):
    columns = {"state": "doing", "intent_at": clock.now(), "kind": "thumbnail"}
    db.session.execute(update(Step).values(columns))
    db.session.commit()

    work_steps()

    assert platform.asked == [("perform", "r1")]
    assert step_of(target_id, "thumbnail").state == "done"


def test_a_platform_that_never_takes_a_step_is_not_asked_for_ever(platform: Afterwards, target_id: uuid.UUID):
    platform.says["perform"] = [trouble("ambiguous")] * 100
    for _ in range(2 * step_ends.MAX_RETRIES + 4):
        bring_forward()
        work_steps()

    assert step_of(target_id).state == "failed"
    assert len([call for call in platform.asked if call[0] == "perform"]) == step_ends.MAX_RETRIES


@pytest.mark.parametrize("said", [trouble("transient"), StepLater(clock.now() + HOUR)])
def test_a_day_in_which_nobody_asked_about_a_step_ends_no_doubt(
    platform: Afterwards, target_id: uuid.UUID, said: Any
):
    db.session.execute(update(Step).values(state="doing", intent_at=clock.now() - 25 * HOUR))
    db.session.commit()
    platform.says["locate"] = [said]

    work_steps()

    step = step_of(target_id)
    assert (step.state, step.retries) == ("doing", 1)
    assert step.next_at is not None


@pytest.mark.parametrize("hours", [47, 49])
def test_trouble_with_the_token_uses_up_no_step_before_its_time(
    platform: Afterwards, target_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch, hours: int
):
    def refuse(*_: Any, **__: Any) -> None:
        raise trouble("transient")

    db.session.execute(update(Step).values(created_at=clock.now() - hours * HOUR))
    db.session.commit()
    with monkeypatch.context() as patch:
        patch.setattr(credentials, "ensure_fresh", refuse)
        for _ in range(step_ends.ASKED_OFTEN):
            bring_forward()
            work_steps()
        assert step_of(target_id).state == "waiting"
        for _ in range(step_ends.MAX_RETRIES):
            bring_forward()
            work_steps()

    assert step_of(target_id).state == ("waiting" if hours == 47 else "failed")
    platform.says["perform"] = [trouble("transient")]
    bring_forward()
    work_steps()
    bring_forward()
    work_steps()
    assert step_of(target_id).state == ("done" if hours == 47 else "failed")


def test_a_doubt_that_lasts_a_day_is_told_to_a_person(platform: Afterwards, target_id: uuid.UUID):
    values = {"state": "doing", "intent_at": clock.now() - 25 * HOUR, "retries": step_ends.ASKED_OFTEN}
    db.session.execute(update(Step).values(values))
    db.session.commit()
    platform.says["locate"] = [trouble("transient")]

    work_steps()

    step = step_of(target_id)
    assert (step.state, step.next_at) == ("unknown", None)
    assert step.error is not None
    assert step.error["code"] == "OUTCOME_UNKNOWN"
    assert events() == ["step.unknown"]


def test_a_step_is_not_done_before_the_platform_says_so(platform: Afterwards, target_id: uuid.UUID):
    until = clock.now() + HOUR
    platform.says["perform"] = [StepLater(until, "still processing")]

    work_steps()

    step = step_of(target_id)
    assert (step.state, step.next_at) == ("waiting", until)
    assert work_steps() == 0


@pytest.mark.parametrize(
    ("columns", "code"),
    [({"paused_at": clock.now()}, "PAUSED"), ({"status": "needs_reconnect"}, "RECONNECT")],
    ids=["paused", "dead grant"],
)
def test_a_step_waits_for_its_channel(
    platform: Afterwards, target_id: uuid.UUID, columns: dict[str, Any], code: str
):
    db.session.execute(update(Channel).values(columns))
    db.session.commit()

    work_steps()

    step = step_of(target_id)
    assert (step.state, step.error and step.error["code"]) == ("waiting", code)
    assert platform.asked == []
    db.session.execute(update(Channel).values(paused_at=None, status="active"))
    bring_forward()
    work_steps()
    assert step_of(target_id).state == "done"
    assert step_of(target_id).error is None


@pytest.mark.parametrize("late", [False, True], ids=["before", "in the last moment"])
@pytest.mark.parametrize("model", [Channel, Workspace])
def test_a_pause_wins_until_the_intent_is_written(
    platform: Afterwards, target_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch, model: Any, *, late: bool
):
    def pause(*_: Any, **__: Any) -> None:
        db.session.execute(update(model).values(paused_at=clock.now()))
        db.session.commit()

    if late:
        monkeypatch.setattr(credentials, "ensure_fresh", pause)
    else:
        pause()

    work_steps()

    assert (step_of(target_id).state, platform.asked) == ("waiting", [])


@pytest.mark.parametrize(
    ("state", "ends"), [("waiting", "failed"), ("doing", "unknown")], ids=["not begun", "begun"]
)
def test_a_disconnected_channel_ends_its_steps(
    platform: Afterwards, target_id: uuid.UUID, state: str, ends: str
):
    db.session.execute(update(Channel).values(status="disconnected"))
    db.session.execute(update(Step).values(state=state))
    db.session.commit()

    work_steps()

    assert (step_of(target_id).state, platform.asked) == (ends, [])


def test_a_dead_token_is_doubted_and_the_step_waits(platform: Afterwards, target_id: uuid.UUID):
    platform.says["perform"] = [PlatformAuthError(platform="tiktok")]

    work_steps()

    assert step_of(target_id).state == "waiting"
    assert db.session.scalars(select(Credential.status)).one() == "needs_reconnect"


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"remote_id": None, "next_at": clock.now() + HOUR}, "waiting"),
        ({"remote_id": None, "next_at": None}, "failed"),
        (
            {"remote_id": None, "next_at": clock.now() + HOUR, "published_at": clock.now() - 26 * HOUR},
            "failed",
        ),
        ({"state": "removed"}, "cancelled"),
    ],
    ids=["watched", "not watched", "too long", "removed"],
)
def test_a_step_of_a_post_without_id_waits_while_somebody_looks_for_it(
    platform: Afterwards, target_id: uuid.UUID, columns: dict[str, Any], state: str
):
    publish(target_id, **columns)

    work_steps()

    assert (step_of(target_id).state, platform.asked) == (state, [])


@pytest.mark.parametrize(
    ("kind", "state", "ends"),
    [
        ("first_comment", "waiting", "failed"),
        ("first_comment", "doing", "unknown"),
        ("thumbnail", "doing", "failed"),
    ],
)
def test_a_step_that_kills_its_workers_is_given_up(
    platform: Afterwards, target_id: uuid.UUID, kind: str, state: str, ends: str
):
    db.session.execute(update(Step).values(attempts=3, kind=kind, state=state))
    db.session.commit()

    assert work_steps() == 0

    assert (step_of(target_id, kind).state, platform.asked) == (ends, [])
    assert events() == [f"step.{ends}"]


def test_a_worker_that_lost_the_step_writes_nothing(platform: Afterwards, target_id: uuid.UUID):
    def lose(*_: Any) -> StepDone:
        db.session.execute(update(Step).values(fence=99))
        db.session.commit()
        return StepDone({"id": "late"})

    platform.perform_step = lose  # type: ignore[method-assign]

    work_steps()

    assert (step_of(target_id).state, step_of(target_id).result) == ("doing", None)


def test_nothing_is_done_in_a_restored_database(platform: Afterwards, target_id: uuid.UUID):
    db.session.execute(update(Instance).values(id=uuid.uuid4()))
    db.session.commit()
    assert instance.check() is not None

    work_steps()

    assert (step_of(target_id).state, platform.asked) == ("waiting", [])


def test_after_a_restore_steps_are_asked_about_before_they_are_done(
    platform: Afterwards, target_id: uuid.UUID
):
    Step.doubt_open()
    db.session.commit()
    platform.says["locate"] = [StepDone({"id": "c1"})]

    work_steps()

    assert platform.asked == [("locate", "r1")]
    assert step_of(target_id).state == "done"


def test_a_snapshot_from_before_a_step_is_an_old_one_afterwards(target_id: uuid.UUID):
    before = db.session.scalars(select(Instance.generation)).one()

    work_steps()

    db.session.execute(update(Instance).values(generation=before))
    db.session.commit()
    assert instance.check() is not None
    assert step_of(target_id).intent_at is not None
    assert step_of(target_id).intent_at <= clock.now() + timedelta(seconds=1)  # type: ignore[operator]


def test_what_may_have_been_done_is_not_asked_about_within_a_minute(
    platform: Afterwards, target_id: uuid.UUID
):
    platform.says["perform"] = [trouble("ambiguous")]

    work_steps()

    asked_at = step_of(target_id).next_at
    assert asked_at is not None
    assert asked_at > clock.now() + timedelta(seconds=60)
