"""RQ functions of files: they take ids and fences, and leave everything else to the services."""

from __future__ import annotations

import uuid

from app.services import converting, measuring, thumbnails, uploads_ending, uploads_fetch
from jobs.runtime import app


def measure_video(video_id: str, fence: int) -> None:
    """Measure one video that arrived and settle it, or take the frame somebody wants as its picture."""
    with app().app_context():
        measuring.measure(uuid.UUID(video_id), fence)
        thumbnails.make(uuid.UUID(video_id), fence)


def make_rendition(rendition_id: str, fence: int) -> None:
    """Convert one video as a recipe says, for the targets that need it so."""
    with app().app_context():
        converting.make(uuid.UUID(rendition_id), fence)


def expire_upload(upload_id: str, fence: int) -> None:
    """Finish an upload all of which has come; remove what an abandoned one or a deleted video left in the store."""
    with app().app_context():
        uploads_ending.attend(uuid.UUID(upload_id), fence)


def import_upload(upload_id: str, fence: int) -> None:
    """Fetch a video from the address somebody gave, or the next stretch of it."""
    with app().app_context():
        uploads_fetch.run(uuid.UUID(upload_id), fence)
