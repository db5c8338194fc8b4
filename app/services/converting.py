"""Making renditions: one conversion at a time in a worker, under a lease, measured again before it counts.

Whatever dies on the way: the lease ends, another worker makes it under the next fence, and clears away what the
first has left in its folder and in the store. A worker that is only asked to stop hands it back before.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app import clock, crash_points, warm_stop
from app.domain.recipe import Recipe
from app.domain.video_spec import VideoFacts, problems
from app.embedded import find_ffmpeg
from app.exceptions import AppException, VideoConversionError, VideoProcessingError
from app.extensions import db, settings
from app.logging_config import bind_context, get_logger
from app.media import measure
from app.media.convert import convert
from app.models import Rendition, Video
from app.queue import JobTimeout
from app.services import conversion_ends as ends
from app.services import leases, removals, renditions, work_folders
from app.services.conversion_ends import Job
from app.storage import Stored, get_storage

logger = get_logger(__name__)
NOTED_EVERY = 2.0  # seconds between two notes of how far it is
TOO_LONG = "Converting this video took longer than a worker may take for it. Make it shorter or smaller."


class _LeaseLost(Exception):  # noqa: N818 - a normal end
    """Somebody else makes it now."""


class _NotNeeded(Exception):  # noqa: N818 - a normal end
    """No target has to go out with it any more."""


def make(rendition_id: uuid.UUID, fence: int) -> None:
    """Make one claimed rendition and settle it. Losing the lease, or the last target, is a normal end."""
    job = _take(rendition_id, fence)
    if job is None:
        return
    bind_context(rendition_id=str(rendition_id))
    try:
        if not _is_needed(job):
            raise _NotNeeded
        with leases.renewed(Rendition, job.id, job.fence), warm_stop.ends_work():
            stored, facts = _make(job)
        ends.settle_ready(job, stored, facts)
    except warm_stop.Stopped:
        ends.hand_back(job)
    except _LeaseLost:
        return
    except _NotNeeded:
        ends.let_go(job)
    except JobTimeout:  # a worker that was too slow is no worker that died
        ends.refuse(job, VideoConversionError(TOO_LONG, {"crashed": False, "reason": "out of time"}))
    except AppException as error:
        ends.refuse(job, error)
    except (SQLAlchemyError, OSError) as error:
        ends.put_off(job, error)


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
