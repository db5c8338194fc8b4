from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Chore
from app.services import dispatch, timetable

pytestmark = pytest.mark.usefixtures("context")
(WORK,) = (each for each in dispatch.WORK if each.model is Chore)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, by a timetable of one entry."""
    seen: list[str] = []
    entry = timetable.Entry(lambda: seen.append("done"), timedelta(hours=1))
    monkeypatch.setattr(timetable, "TIMETABLE", {"test": entry})
    return seen


def chore() -> Chore:
    db.session.rollback()
    return db.session.scalars(select(Chore).execution_options(populate_existing=True)).one()


def claimed() -> tuple[uuid.UUID, int]:
    ((_, (chore_id, fence)),) = dispatch.claim(WORK, clock.now())
    return uuid.UUID(chore_id), fence


def test_an_entry_is_a_row_however_often_dispatchers_start(database_url: str, done: list[str]) -> None:
    timetable.plan()
    timetable.plan()

    assert chore().name == "test"


def test_a_chore_is_done_once_and_due_again_after_its_time(database_url: str, done: list[str]) -> None:
    timetable.plan()

    timetable.perform(*claimed())

    assert done == ["done"]
    next_at = chore().next_at
    assert next_at is not None
    assert timedelta(minutes=59) < next_at - clock.now() <= timedelta(hours=1)
    assert dispatch.claim(WORK, clock.now()) == []


def test_who_lost_the_lease_does_nothing(done: list[str]) -> None:
    timetable.plan()
    chore_id, fence = claimed()

    timetable.perform(chore_id, fence - 1)

    assert done == []


def test_a_chore_that_fails_is_told_and_due_again(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the store is away")

    work: Callable[[], None] = fail
    monkeypatch.setitem(timetable.TIMETABLE, "test", timetable.Entry(work, timedelta(hours=1)))
    timetable.plan()

    with pytest.raises(RuntimeError):
        timetable.perform(*claimed())

    assert (chore().attempts, chore().lease_until) == (0, None)
    assert dispatch.claim(WORK, clock.now() + timedelta(hours=2)) != []


def test_a_chore_that_kills_its_workers_rests_for_a_day(done: list[str]) -> None:
    timetable.plan()
    row = chore()
    row.attempts = dispatch.MAX_DEATHS
    db.session.commit()

    assert dispatch.claim(WORK, clock.now()) == []

    next_at = chore().next_at
    assert next_at is not None
    assert next_at > clock.now() + timedelta(hours=23)


def test_an_entry_that_is_gone_from_the_timetable_is_never_due_again(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timetable.plan()
    monkeypatch.setattr(timetable, "TIMETABLE", {})

    timetable.perform(*claimed())

    assert (done, chore().next_at) == ([], None)
