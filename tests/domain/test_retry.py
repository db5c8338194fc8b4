"""Pauses between tries: growing, capped, never all at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.retry import CEILING, POLL_SECONDS, backoff, poll_delay


@given(st.integers(min_value=1, max_value=10_000))
def test_a_pause_is_between_half_and_all_of_its_doubling(tries):
    whole = min(CEILING, 2.0 * 2 ** min(tries - 1, 20))

    assert whole / 2 <= backoff(tries).total_seconds() <= whole


def test_pauses_of_rows_that_failed_together_differ():
    assert len({backoff(5) for _ in range(20)}) > 1


def test_polling_starts_soon_and_ends_at_five_minutes():
    delays = [poll_delay(asked).total_seconds() for asked in range(len(POLL_SECONDS) + 5)]

    assert delays == sorted(delays)
    assert delays[0] == 2
    assert delays[-1] == 300
