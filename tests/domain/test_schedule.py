"""When a post goes out, as a person may say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.schedule import Schedule, contradiction, from_instant, from_wall_clock, later_than
from app.exceptions import InvalidScheduleTimeError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def reason_of(call: object) -> str:
    with pytest.raises(InvalidScheduleTimeError) as refused:
        call()  # type: ignore[operator]
    return str(refused.value.details["reason"])


def test_an_instant_with_an_offset_is_read_as_utc() -> None:
    assert from_instant("2027-01-31T18:00:00+01:00", now=NOW) == Schedule(
        datetime(2027, 1, 31, 17, tzinfo=UTC)
    )


def test_an_instant_beside_its_zone_keeps_the_wall_clock() -> None:
    found = from_instant("2027-01-31T18:00:00+01:00", timezone="Europe/Berlin", now=NOW)

    assert found == Schedule(datetime(2027, 1, 31, 17, tzinfo=UTC), "Europe/Berlin", "2027-01-31T18:00:00")


def test_a_z_agrees_with_every_zone() -> None:
    found = from_instant("2027-01-31T17:00:00Z", timezone="Asia/Tokyo", now=NOW)

    assert (found.at.hour, found.local) == (17, "2027-02-01T02:00:00")


@pytest.mark.parametrize(
    ("text", "timezone", "reason"),
    [
        ("2027-01-31T18:00:00", None, "naive"),
        ("2027-01-31", None, "naive"),
        ("tomorrow", None, "malformed"),
        ("", None, "malformed"),
        ("2027-01-31T25:00:00Z", None, "malformed"),
        ("0001-01-01T00:00:00+14:00", None, "malformed"),
        ("9999-12-31T23:59:59Z", "Pacific/Kiritimati", "too_far"),
        ("2026-11-23T11:58:59Z", None, "past"),
        ("2028-11-24T00:00:00Z", None, "too_far"),
        ("2027-01-31T18:00:00+00:00", "Europe/Berlin", "offset_contradicts_zone"),
        ("2027-07-31T18:00:00+01:00", "Europe/Berlin", "offset_contradicts_zone"),
        ("2027-01-31T18:00:00Z", "Europe/Atlantis", "unknown_zone"),
        ("2027-01-31T18:00:00Z", "../../etc/passwd", "unknown_zone"),
        ("2027-01-31T18:00:00Z", "localtime", "unknown_zone"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused_with_its_reason(
    text: str, timezone: str | None, reason: str
) -> None:
    assert reason_of(lambda: from_instant(text, timezone=timezone, now=NOW)) == reason


def test_a_moment_in_the_past_is_forgiven_for_a_minute() -> None:
    assert from_instant("2026-11-23T11:59:00Z", now=NOW).at == NOW - timedelta(minutes=1)


def test_two_years_ahead_is_the_furthest() -> None:
    assert from_instant("2028-11-23T12:00:00Z", now=NOW).at.year == 2028


def test_a_misspelt_zone_is_answered_with_the_likely_one() -> None:
    with pytest.raises(InvalidScheduleTimeError, match="Europe/Berlin"):
        from_wall_clock("2027-01-31T18:00", timezone="Europe/Berln", now=NOW)


def test_a_wall_clock_is_read_in_its_zone() -> None:
    found = from_wall_clock("2027-07-31T18:00", timezone="Europe/Berlin", now=NOW)

    assert found == Schedule(datetime(2027, 7, 31, 16, tzinfo=UTC), "Europe/Berlin", "2027-07-31T18:00:00")


def test_a_wall_clock_in_a_gap_is_shifted_forward_and_said_so() -> None:
    found = from_wall_clock("2027-03-28T02:30", timezone="Europe/Berlin", now=NOW)

    assert found.at == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert found.note is not None and "2027-03-28 03:30" in found.note


def test_a_wall_clock_in_an_overlap_is_the_first_and_said_so() -> None:
    found = from_wall_clock("2027-10-31T02:30", timezone="Europe/Berlin", now=NOW)

    assert found.at == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert found.note is not None and "twice" in found.note


def test_a_half_hour_gap_is_shifted_by_half_an_hour() -> None:
    found = from_wall_clock("2027-10-03T02:10", timezone="Australia/Lord_Howe", now=NOW)

    assert found.at == datetime(2027, 10, 2, 15, 40, tzinfo=UTC)


def test_a_wall_clock_needs_a_zone_and_no_offset() -> None:
    missing = reason_of(lambda: from_wall_clock("2027-01-31T18:00", timezone=None, now=NOW))
    offset = reason_of(lambda: from_wall_clock("2027-01-31T18:00+01:00", timezone="Europe/Berlin", now=NOW))

    assert (missing, offset) == ("missing", "offset_contradicts_zone")


def test_late_until_lies_after_the_due_time() -> None:
    due = NOW + timedelta(hours=1)

    assert later_than("2026-11-23T13:30:00Z", due_at=due) == NOW + timedelta(minutes=90)
    assert reason_of(lambda: later_than("2026-11-23T13:00:00Z", due_at=due)) == "past"
    assert reason_of(lambda: later_than("2026-11-23T14:00:00", due_at=due)) == "naive"


def test_two_answers_to_when_and_none_are_different_errors() -> None:
    assert contradiction(["publish_now", "draft"]).details["reason"] == "ambiguous"
    assert contradiction([]).details["reason"] == "missing"
