"""Staging: when a staged target is looked at again, and what trouble and stops on the way mean; on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import clock, warm_stop
from app.exceptions import AppException, DatabaseError, ResourceNotFoundError, StorageError
from app.extensions import db
from app.models import Target
from app.platforms.base import PublishRequest, Staged, Wait
from app.queue import JobTimeout
from app.services import publishing, staging
from app.services.platforms import registry
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def stages(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Target]:
    """Stage a target with an adapter that does what is given; return its row afterwards."""

    def run(does: Callable[..., Any], **columns: Any) -> Target:
        columns = {"due_at": clock.now() + 23 * HOUR, "late_until": clock.now() + 25 * HOUR} | columns
        item = claimed("staging", **columns)
        monkeypatch.setattr(registry().get("tiktok"), "stage", does)
        staging.stage(item.ref.id, item.ref.fence)
        return db.session.scalars(select(Target)).one()

    return run


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[AppException]:
    """What a person is told of."""
    found: list[AppException] = []
    monkeypatch.setattr(staging, "capture_error", found.append)
    return found


@pytest.fixture
def stoppable() -> Iterator[None]:
    """Forget afterwards that this process was asked to stop."""
    yield
    warm_stop._process.is_asked = False


def raising(error: Exception) -> Callable[..., Any]:
    def does(*_: Any) -> Any:
        raise error

    return does


def until(ends: datetime) -> Callable[..., Staged]:
    return lambda *_: Staged(ends)


# -- when it is looked at again


@pytest.mark.parametrize("left", [MINUTE, 40 * MINUTE])
def test_an_upload_that_ends_long_before_its_post_is_not_looked_at_before_staging_would_begin(
    stages: Callable[..., Target], left: timedelta
) -> None:
    target = stages(until(clock.now() + left))

    assert target.due_at is not None
    assert (target.state, target.next_at) == ("staged", target.due_at - 40 * MINUTE)


def test_what_was_put_off_until_its_upload_was_over_is_staged_anew_in_time(claimed: Claimed) -> None:
    now = clock.now()
    item = claimed("staged", due_at=now + 40 * MINUTE, handle_expires_at=now - HOUR, preflighted_at=now)

    assert item.kind == "stage"


def test_an_upload_that_lasts_is_looked_at_for_its_preflight(stages: Callable[..., Target]) -> None:
    target = stages(until(clock.now() + 24 * HOUR))

    assert target.due_at is not None
    assert target.next_at == target.due_at - publishing.PREFLIGHT_AHEAD


# -- trouble and stops


@pytest.mark.parametrize("faults", [0, staging.MAX_FAULTS, 50])
def test_a_store_that_is_away_is_tried_again_however_often_and_told_of_once(
    stages: Callable[..., Target], told: list[AppException], faults: int
) -> None:
    error = StorageError()

    target = stages(raising(error), retries=faults)

    assert (target.state, target.retries, target.attempts) == ("staging", faults + 1, 0)
    assert target.next_at is not None
    assert clock.now() < target.next_at < clock.now() + 6 * MINUTE
    assert told == ([error] if faults == staging.MAX_FAULTS else [])


@pytest.mark.parametrize("error", [DatabaseError(), ResourceNotFoundError()])
def test_other_trouble_of_ours_ends_a_post_after_some_tries(
    stages: Callable[..., Target], told: list[AppException], error: AppException
) -> None:
    target = stages(raising(error), retries=staging.MAX_FAULTS)

    assert (target.state, told) == ("failed", [error])


def test_an_upload_for_which_a_jobs_time_was_too_short_is_no_death(
    stages: Callable[..., Target], told: list[AppException]
) -> None:
    target = stages(raising(JobTimeout("15 minutes are over")), attempts=2, retries=20)

    assert (target.state, target.attempts, target.retries, target.lease_until) == ("staging", 0, 21, None)
    assert target.next_at is not None
    assert clock.now() < target.next_at < clock.now() + 6 * MINUTE
    assert ((target.error or {})["message"], told) == (staging.TOO_SLOW, [])


@pytest.mark.usefixtures("stoppable")
def test_a_worker_asked_to_stop_hands_its_upload_back_at_the_next_chunk(
    stages: Callable[..., Target],
) -> None:
    asked: list[bool] = []

    def uploads(request: PublishRequest, *_: Any) -> Wait:
        asked.append(request.should_yield())
        warm_stop.ask()
        asked.append(request.should_yield())
        return Wait(clock.now())

    target = stages(uploads)

    assert asked == [False, True]
    assert (target.state, target.attempts, target.lease_until) == ("staging", 0, None)
    assert target.next_at is not None
    assert target.next_at <= clock.now()
