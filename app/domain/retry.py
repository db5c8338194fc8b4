"""How long to wait before trying again. Pure."""

from __future__ import annotations

import random
from datetime import timedelta

FIRST = 2.0
CEILING = 300.0


def backoff(tries: int, *, first: float = FIRST, ceiling: float = CEILING) -> timedelta:
    """Return the pause after the `tries`-th failure in a row: doubling, capped, with equal jitter.

    Half of the pause is fixed and half random, so that many rows failing together do not return together.
    """
    whole = min(ceiling, first * 2 ** min(max(tries - 1, 0), 20))
    return timedelta(seconds=whole / 2 + random.uniform(0, whole / 2))  # noqa: S311 - not a secret


POLL_SECONDS = (2, 3, 5, 10, 20, 40, 60)


def poll_delay(asked: int) -> timedelta:
    """Return the pause before asking a platform again that is still working: soon at first, then every 5 min."""
    return timedelta(seconds=POLL_SECONDS[asked] if asked < len(POLL_SECONDS) else 300)
