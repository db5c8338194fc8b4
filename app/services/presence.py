"""Which processes have been heard from lately, as far as Redis knows."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from app.queue import QUEUES, carrier

PURPOSES = {
    "dispatcher": "claims what is due",
    "worker.media": "measures and converts",
    "worker.stage": "uploads to platforms",
    "worker.commit": "publishes on time",
    "worker.default": "tokens, clearing up",
}


@dataclass(frozen=True)
class Part:
    """A kind of process. `count` None: unknown, because Redis does not answer."""

    label: str
    purpose: str
    count: int | None


def parts() -> list[Part]:
    """Return the dispatcher and the workers of each queue, with how many were heard from."""
    try:
        alive: dict[str, int] | None = carrier().alive()
    except redis.RedisError:
        alive = None
    roles = ["dispatcher", *(f"worker.{queue}" for queue in QUEUES)]
    return [
        Part(_label(role), PURPOSES.get(role, ""), None if alive is None else alive.get(role, 0))
        for role in roles
    ]


def _label(role: str) -> str:
    kind, _, queue = role.partition(".")
    return f"{kind.capitalize()}s: {queue}" if queue else kind.capitalize()
