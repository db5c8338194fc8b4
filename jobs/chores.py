"""RQ function of the timetable."""

from __future__ import annotations

import uuid

from app.services import timetable
from jobs.runtime import app


def do_chore(chore_id: str, fence: int) -> None:
    """Do one entry of the timetable."""
    with app().app_context():
        timetable.perform(uuid.UUID(chore_id), fence)
