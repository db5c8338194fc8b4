"""RQ function of what follows a post."""

from __future__ import annotations

import uuid

from app.services import stepping
from jobs.runtime import app


def run_step(step_id: str, fence: int) -> None:
    """Do one step after a post, or collect its figures."""
    with app().app_context():
        stepping.run(uuid.UUID(step_id), fence)
