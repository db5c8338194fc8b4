"""RQ functions of publishing: they take ids and fences, and leave everything else to the services."""

from __future__ import annotations

import uuid

from app.services import engine, staging, taking
from jobs.runtime import app


def stage_target(target_id: str, fence: int) -> None:
    """Upload one target as far as it may go before its time."""
    with app().app_context():
        staging.stage(uuid.UUID(target_id), fence)


def call_platform(claims: list[tuple[str, int]]) -> None:
    """Hand claimed targets to this worker's engine: preflights, commits at their due times, questions."""
    with app().app_context():
        submit = engine.engine(app()).submit
        taking.hand_in(
            [(uuid.UUID(target_id), fence) for target_id, fence in claims],
            lambda items: submit(item for item in items if item.kind != "stage"),
        )
