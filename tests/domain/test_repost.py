"""The same content, the same channel, 24 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.repost import check, next_allowed
from app.exceptions import RepostTooSoonError

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def test_nothing_went_before_so_it_may_go() -> None:
    assert next_allowed(NOON, []) == NOON


@pytest.mark.parametrize("distance", [-24.0, -25.0, 24.0, 30.0])
def test_a_day_before_or_after_is_far_enough(distance: float) -> None:
    assert next_allowed(NOON, [NOON + hours(distance)]) == NOON


@pytest.mark.parametrize("distance", [-23.99, 0.0, 23.99])
def test_less_than_a_day_before_or_after_is_too_soon(distance: float) -> None:
    assert next_allowed(NOON, [NOON + hours(distance)]) == NOON + hours(distance + 24)


def test_the_next_allowed_time_is_clear_of_every_other_post() -> None:
    assert next_allowed(NOON, [NOON - hours(1), NOON + hours(30)]) == NOON + hours(54)


def test_the_error_says_platform_hours_and_the_next_time() -> None:
    with pytest.raises(RepostTooSoonError) as refused:
        check(NOON, [NOON - hours(20)], platform="somewhere")

    assert refused.value.details == {
        "platform": "somewhere",
        "hours_remaining": 4.0,
        "next_allowed_at": "2026-11-23T16:00:00Z",
    }
