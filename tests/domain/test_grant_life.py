from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.grant_life import GrantLife

BORN = datetime(2027, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AHEAD = 2 * HOUR


def life(
    *, renewable: bool = True, lives: timedelta | None = DAY, ends: timedelta | None = None
) -> GrantLife:
    return GrantLife(renewable, BORN, BORN + lives if lives else None, BORN + ends if ends else None)


@pytest.mark.parametrize(
    ("lives", "ahead", "renewed_after"),
    [(DAY, AHEAD, 22 * HOUR), (HOUR, AHEAD, HOUR / 2), (60 * DAY, 30 * DAY, 30 * DAY), (DAY, DAY, DAY / 2)],
    ids=["a day", "an hour", "sixty days", "as long as the lead"],
)
def test_a_token_is_renewed_ahead_of_its_end_but_not_in_its_first_half(
    lives: timedelta, ahead: timedelta, renewed_after: timedelta
) -> None:
    assert life(lives=lives).renew_at(ahead=ahead) == BORN + renewed_after


@pytest.mark.parametrize(
    ("given", "ends_after"),
    [
        (life(), None),
        (life(ends=90 * DAY), 90 * DAY),
        (life(renewable=False), DAY),
        (life(renewable=False, lives=None, ends=90 * DAY), 90 * DAY),
        (life(renewable=False, lives=60 * DAY, ends=90 * DAY), 60 * DAY),
        (life(renewable=False, lives=None), None),
    ],
)
def test_a_grant_ends_when_only_its_owner_can_go_on(given: GrantLife, ends_after: timedelta | None) -> None:
    assert given.ends_at == (None if ends_after is None else BORN + ends_after)


@pytest.mark.parametrize(
    ("given", "looked_at_after"),
    [
        (life(), 22 * HOUR),
        (life(ends=90 * DAY), 22 * HOUR),
        (life(lives=60 * DAY, ends=61 * DAY), 54 * DAY),
        (life(renewable=False, lives=60 * DAY), 53 * DAY),
        (life(renewable=False, lives=None, ends=90 * DAY), 83 * DAY),
        (life(renewable=False, lives=None), None),
    ],
)
def test_it_is_looked_at_for_what_comes_first(given: GrantLife, looked_at_after: timedelta | None) -> None:
    expected = None if looked_at_after is None else BORN + looked_at_after

    assert given.next_look(ahead=AHEAD, told_at=None) == expected


def test_once_told_it_is_looked_at_for_its_end_alone() -> None:
    given = life(renewable=False, lives=60 * DAY)

    assert given.next_look(ahead=AHEAD, told_at=BORN + 53 * DAY) == BORN + 60 * DAY


def test_what_was_told_of_an_earlier_end_does_not_count() -> None:
    told_at = BORN

    assert life(renewable=False, lives=5 * DAY).is_told(told_at)
    assert not life(renewable=False, lives=60 * DAY).is_told(told_at)
