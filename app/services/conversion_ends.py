"""How a conversion ends: made, refused, put off, handed back, not needed. Each is written under the fence."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.domain.recipe import Recipe
from app.domain.retry import backoff
from app.domain.video_spec import VideoFacts
from app.exceptions import (
    AppException,
    DatabaseError,
    ResourceNotFoundError,
    VideoConversionError,
    VideoProcessingError,
    VideoValidationError,
)
from app.extensions import db
from app.logging_config import get_logger
from app.models import Event, Rendition, Target
from app.monitoring import capture_error
from app.queue import wake_dispatcher
from app.services import leases, removals, renditions
from app.storage import Stored, get_storage, new_key

logger = get_logger(__name__)
MAX_DEATHS = 2  # workers, or ffmpegs, that may die over a conversion
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0  # seconds, after trouble of ours
PATIENCE = (0.0, 0.5, 2.0, 5.0)  # seconds before each attempt to write down that the database was away


@dataclass(frozen=True)
class Job:
    """A claimed rendition, detached. `starts` counts how often it was begun, this time included."""

    id: uuid.UUID
    fence: int
    starts: int
    backend: str
    source: str
    facts: VideoFacts
    recipe: Recipe

    @property
    def key(self) -> str:
        return new_key("renditions", self.id, f"{self.fence}.mp4")


def give_up(rendition_id: uuid.UUID, fence: int) -> None:
    """End a rendition that killed its workers; it is not begun again for the same recipe. Commits."""
    error = VideoConversionError(
        "Converting this video ended its process several times, so it is not tried again. Export it again as "
        "MP4 with H.264 and AAC."
    )
    _settle_failed(rendition_id, fence, error, lease_until=None)


def settle_ready(job: Job, stored: Stored, facts: VideoFacts) -> None:
    """Write that it is there, and let go of what waited for it. Commits."""
    renditions.lock_waiting(job.id)
    owned = leases.write(
        Rendition, job.id, job.fence, Rendition.state == "processing",
        state="ready", size_bytes=stored.size, sha256=stored.sha256, facts=facts.to_dict(), error=None,
        progress=1.0, remaining_seconds=0.0, retries=0, next_at=None, updated_at=clock.now(), **leases.FREE,
    )  # fmt: skip
    if not owned:
        db.session.rollback()
        get_storage().discard(job.key)
        return
    _tell(job.id, "rendition.ready")
    Target.reckon_holds(Target.rendition_id == job.id)
    db.session.commit()
    logger.info("Rendition made", extra={"size_bytes": stored.size, "work": job.recipe.work})
    wake_dispatcher()


def refuse(job: Job, error: AppException) -> None:
    """The file's fault ends it, a crash is tried once more, trouble of ours again and again."""
    crashed = isinstance(error, VideoConversionError) and bool(error.details.get("crashed"))
    if crashed and job.starts >= MAX_DEATHS:
        give_up(job.id, job.fence)
    elif crashed:
        _postpone(job, error, attempts=job.starts)
    elif isinstance(error, VideoConversionError | VideoValidationError | ResourceNotFoundError):
        _settle_failed(job.id, job.fence, error, **leases.FREE)
    else:
        capture_error(error)
        _postpone(job, error, attempts=0)


def put_off(job: Job, error: SQLAlchemyError | OSError) -> None:
    """Try again later what the database or this machine had trouble with: this start does not count. Commits.

    Raises SQLAlchemyError when the database stays away; then the lease ends, and the start has counted.
    """
    capture_error(error)
    is_database = isinstance(error, SQLAlchemyError)
    told = DatabaseError() if is_database else VideoProcessingError(details={"reason": str(error)})
    for attempt, pause in enumerate(PATIENCE, start=1):
        time.sleep(pause)
        try:
            db.session.rollback()
            _postpone(job, told, attempts=job.starts - 1)
        except SQLAlchemyError:
            if attempt == len(PATIENCE):
                raise
        else:
            return


def hand_back(job: Job) -> None:
    """Let another worker begin at once what this one was asked to stop. Commits."""
    leases.hand_back(
        Rendition, job.id, job.fence, Rendition.state == "processing", progress=0.0, remaining_seconds=None
    )
    logger.info("Conversion handed back: this worker stops")


def _postpone(job: Job, error: AppException, *, attempts: int) -> None:
    logger.warning("a rendition could not be made yet: %s", error.message, exc_info=True)
    row = db.session.get(Rendition, job.id, populate_existing=True)
    if row is None:  # its video was deleted meanwhile
        db.session.rollback()
        return
    pause = backoff(row.retries + 1, first=FIRST_PAUSE, ceiling=LONGEST_PAUSE)
    leases.write(
        Rendition, job.id, job.fence, Rendition.state == "processing",
        error=error.to_dict(), retries=row.retries + 1, attempts=attempts,
        next_at=clock.now() + max(pause, timedelta(seconds=1)), lease_until=None,
    )  # fmt: skip
    db.session.commit()


def _settle_failed(rendition_id: uuid.UUID, fence: int, error: AppException, **columns: Any) -> None:
    """Write why it cannot be made, and end what waited for it; whatever was stored of it goes. Commits."""
    waiting = renditions.lock_waiting(rendition_id)
    owned = leases.write(
        Rendition, rendition_id, fence, Rendition.state == "processing",
        state="failed", error=error.to_dict(), next_at=None, remaining_seconds=None, updated_at=clock.now(),
        **columns,
    )  # fmt: skip
    if not owned:
        db.session.rollback()
        return
    _tell(rendition_id, "rendition.failed")
    renditions.fail_targets(waiting, error.to_dict())
    row = db.session.get_one(Rendition, rendition_id, populate_existing=True)
    removals.plan(row.workspace_id, [(row.backend, row.key)])
    row.key = None
    db.session.commit()
    logger.warning("Rendition failed: %s", error.message, extra={"rendition_id": str(rendition_id)})
    wake_dispatcher()


def let_go(job: Job) -> None:
    """End what no target needs, unless one came meanwhile: then it is made at once. Commits."""
    row = db.session.scalar(
        select(Rendition)
        .where(Rendition.id == job.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None or row.fence != job.fence or row.state != "processing":
        db.session.rollback()
        return
    if renditions.is_needed(job.id):
        row.next_at = clock.now()
    else:
        removals.plan(row.workspace_id, [(row.backend, row.key)])
        row.state, row.next_at, row.key = "removed", None, None
        row.progress, row.remaining_seconds = 0.0, None
    row.lease_until, row.attempts = None, 0
    db.session.commit()
    wake_dispatcher()


def _tell(rendition_id: uuid.UUID, event: str) -> None:
    row = db.session.get_one(Rendition, rendition_id, populate_existing=True)
    Event.record(
        event, workspace_id=row.workspace_id, subject_id=rendition_id, data={"video_id": str(row.video_id)}
    )
