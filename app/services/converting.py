"""Making renditions: one conversion at a time in a worker, under a lease, measured again before it counts.

Whatever dies on the way: the lease ends, another worker makes it under the next fence, and clears away what the
first has left in its folder and in the store.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app import clock, crash_points
from app.domain.recipe import Recipe
from app.domain.retry import backoff
from app.domain.video_spec import VideoFacts, problems
from app.embedded import find_ffmpeg
from app.exceptions import (
    AppException,
    ResourceNotFoundError,
    VideoConversionError,
    VideoProcessingError,
    VideoValidationError,
)
from app.extensions import db, settings
from app.logging_config import bind_context, get_logger
from app.media import measure
from app.media.convert import convert
from app.models import Event, Rendition, Target, Video
from app.monitoring import capture_error
from app.queue import JobTimeout, wake_dispatcher
from app.services import leases, removals, renditions, work_folders
from app.storage import Stored, get_storage, new_key

logger = get_logger(__name__)
MAX_DEATHS = 2  # workers, or ffmpegs, that may die over a conversion
NOTED_EVERY = 2.0  # seconds between two notes of how far it is
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0  # seconds, after trouble of ours
TOO_LONG = "Converting this video took longer than a worker may take for it. Make it shorter or smaller."


class _LeaseLost(Exception):  # noqa: N818 - a normal end
    """Somebody else makes it now."""


class _NotNeeded(Exception):  # noqa: N818 - a normal end
    """No target has to go out with it any more."""


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


def make(rendition_id: uuid.UUID, fence: int) -> None:
    """Make one claimed rendition and settle it. Losing the lease, or the last target, is a normal end."""
    job = _take(rendition_id, fence)
    if job is None:
        return
    bind_context(rendition_id=str(rendition_id))
    try:
        if not _is_needed(job):
            raise _NotNeeded
        with leases.renewed(Rendition, job.id, job.fence):
            stored, facts = _make(job)
    except _LeaseLost:
        return
    except _NotNeeded:
        _let_go(job)
    except JobTimeout:  # a worker that was too slow is no worker that died
        _refuse(job, VideoConversionError(TOO_LONG, {"crashed": False, "reason": "out of time"}))
    except AppException as error:
        _refuse(job, error)
    else:
        _settle_ready(job, stored, facts)


def give_up(rendition_id: uuid.UUID, fence: int) -> None:
    """End a rendition that killed its workers; it is not begun again for the same recipe. Commits."""
    error = VideoConversionError(
        "Converting this video ended its process several times, so it is not tried again. Export it again as "
        "MP4 with H.264 and AAC."
    )
    _settle_failed(rendition_id, fence, error, lease_until=None)


# -- taking it


def _take(rendition_id: uuid.UUID, fence: int) -> Job | None:
    """Count the start, and name the file to be, before anything is made. Commits."""
    query = select(Rendition, Video).join(Video, Video.id == Rendition.video_id)
    found = db.session.execute(
        query.where(Rendition.id == rendition_id).execution_options(populate_existing=True)
    ).one_or_none()
    if found is None or found.Rendition.fence != fence or found.Rendition.state != "processing":
        db.session.rollback()
        return None
    row, video = found.Rendition, found.Video
    facts = VideoFacts.from_dict(video.facts or {})
    job = Job(row.id, fence, row.attempts + 1, video.backend, video.key, facts, Recipe.from_dict(row.recipe))
    removals.plan(row.workspace_id, [(row.backend, row.key)])
    ours = leases.write(
        Rendition,
        row.id,
        fence,
        attempts=job.starts,
        key=job.key,
        backend=get_storage().backend,
        progress=0.0,
    )
    db.session.commit() if ours else db.session.rollback()
    crash_points.hit("rendition.before_making")
    return job if ours else None


def _is_needed(job: Job) -> bool:
    needed = renditions.is_needed(job.id)
    db.session.rollback()
    return needed


# -- making it


def _make(job: Job) -> tuple[Stored, VideoFacts]:
    ffmpeg = find_ffmpeg(settings().ffmpeg_path)
    if ffmpeg is None:
        raise VideoProcessingError("There is no ffmpeg to convert with. Run `flask doctor`.")
    with (
        get_storage(job.backend).local_path(job.source) as source,
        work_folders.private(job.id, job.fence) as folder,
    ):
        out = folder / "rendition.mp4"
        progress = _Progress(job)
        room = work_folders.room()
        convert(source, job.recipe, job.facts, out, ffmpeg=Path(ffmpeg), on_progress=progress, room=room)
        facts = measure(out)
        _check(job, facts)
        crash_points.hit("rendition.before_storing")
        return get_storage().put_file(job.key, out), facts


def _check(job: Job, facts: VideoFacts) -> None:
    """Hold what came out against the limits of every target it was made for."""
    for place in renditions.places_of(job.id):
        spec = place.platform.spec_for(facts, place.options)
        if broken := problems(facts, spec):
            details = {each.rule: {"found": each.measured, "allowed": each.allowed} for each in broken}
            said = " ".join(each.message for each in broken)
            message = f"The converted video still does not fit {place.platform.label}: {said}"
            raise VideoConversionError(message, details)


class _Progress:
    """Writes down now and then how far it is, and ends what nobody needs or somebody else does."""

    def __init__(self, job: Job) -> None:
        self._job, self._next = job, clock.monotonic()

    def __call__(self, done: float, remaining: float | None) -> None:
        if clock.monotonic() < self._next:
            return
        self._next = clock.monotonic() + NOTED_EVERY
        try:
            is_ours, is_needed = self._note(done, remaining), _is_needed(self._job)
        except SQLAlchemyError:  # the lease says whether it is still ours
            db.session.rollback()
            logger.warning("a conversion's progress could not be noted", exc_info=True)
            return
        if not is_ours:
            raise _LeaseLost
        if not is_needed:
            raise _NotNeeded

    def _note(self, done: float, remaining: float | None) -> bool:
        crash_points.hit("rendition.while_making")
        columns = {"progress": round(done, 4), "remaining_seconds": remaining}
        is_ours = leases.write(
            Rendition, self._job.id, self._job.fence, Rendition.state == "processing", **columns
        )
        db.session.commit()
        return is_ours


# -- settling it


def _settle_ready(job: Job, stored: Stored, facts: VideoFacts) -> None:
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


def _refuse(job: Job, error: AppException) -> None:
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


def _postpone(job: Job, error: AppException, *, attempts: int) -> None:
    logger.warning("a rendition could not be made yet: %s", error.message, exc_info=True)
    row = db.session.get_one(Rendition, job.id, populate_existing=True)
    pause = backoff(row.retries + 1, first=FIRST_PAUSE, ceiling=LONGEST_PAUSE)
    leases.write(
        Rendition, job.id, job.fence, error=error.to_dict(), retries=row.retries + 1, attempts=attempts,
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


def _let_go(job: Job) -> None:
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
