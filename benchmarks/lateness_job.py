"""The job of the RQ baseline; it only writes down how late it began."""

from __future__ import annotations

import time

import redis

RESULTS = "bench:lateness"


def note(due: float, redis_url: str) -> None:
    """Append the lateness in seconds."""
    late = time.time() - due
    with redis.Redis.from_url(redis_url) as connection:
        connection.rpush(RESULTS, late)
