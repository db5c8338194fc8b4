"""When a quota begins anew: a calendar day in its zone, whatever the clocks there do, or a time from first use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.quota_window import ANY_TIME, window_at

PACIFIC = "America/Los_Angeles"
DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("at", "starts_at", "hours"),
    [
        pytest.param("2026-11-23T07:59:59", "2026-11-22T08:00:00", 24, id="just before midnight"),
        pytest.param("2026-11-23T08:00:00", "2026-11-23T08:00:00", 24, id="at midnight"),
        pytest.param("2026-03-08T12:00:00", "2026-03-08T08:00:00", 23, id="clocks go forward"),
        pytest.param("2026-11-01T12:00:00", "2026-11-01T07:00:00", 25, id="clocks go back"),
    ],
)
def test_a_day_is_the_calendar_day_of_its_zone(at: str, starts_at: str, hours: int) -> None:
    span = window_at(datetime.fromisoformat(at).replace(tzinfo=UTC), length=DAY, timezone=PACIFIC)

    assert span.starts_at == datetime.fromisoformat(starts_at).replace(tzinfo=UTC)
    assert span.ends_at - span.starts_at == timedelta(hours=hours)


def test_without_a_zone_it_begins_with_its_first_use() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    assert window_at(now, length=DAY, timezone=None) == (ANY_TIME, now + DAY)
