"""A video's picture: a good frame chosen by us, any frame by its time, or a picture somebody sent.

A frame is taken by a media worker, which may first have to fetch the file; a picture that was sent is made anew
while its sender waits. Every picture has a name of its own, and a row names it before it is stored: a picture
that is not wanted in the end goes again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from app import clock
from app.domain.principal import Principal
from app.domain.video_spec import VideoFacts
from app.embedded import find_ffmpeg
from app.exceptions import (
    AppException,
    PayloadTooLargeError,
    StateConflictError,
    ValidationError,
    VideoProcessingError,
    VideoValidationError,
)
from app.extensions import db, settings
from app.logging_config import get_logger
from app.media import MAX_IMAGE_BYTES, best_moment, image, thumbnail
from app.models import Event, Video
from app.models.base import new_id
from app.models.event import EventData
from app.queue import wake_dispatcher
from app.services import leases, originals, removals
from app.storage import get_storage, new_key
from app.storage.base import READ_BYTES, Readable
from app.storage.disk import disk_errors, write_all
from app.storage.private_folder import private_folder

logger = get_logger(__name__)
BEST = -1.0  # a moment that is still to be chosen
AGAIN_AFTER = timedelta(seconds=60)  # when the trouble is ours (store, ffmpeg)


@dataclass(frozen=True)
class Picture:
    """A stored picture as columns of its video; `promise` is the row that removes it unless it is kept."""

    columns: Mapping[str, Any]
    promise: uuid.UUID


# -- asked for by people


def choose(principal: Principal, video_id: uuid.UUID, *, at_seconds: float | None) -> None:
    """Have the frame at `at_seconds` made the video's picture, or (None) a good one; a worker does it.

    Raises ValidationError for a moment outside the video, StateConflictError when there is no file to look into.
    """
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id, lock=True)
    try:
        if video.state != "ready":
            raise _no_frames(video)
        duration = float((video.facts or {}).get("duration_seconds") or 0.0)
        if at_seconds is not None and at_seconds >= duration:
            problem = (
                f"The video ends after {duration:.3f} seconds; found {at_seconds}. Choose an earlier moment."
            )
            raise ValidationError(details={"at_seconds": [problem]})
    except AppException:
        db.session.rollback()
        raise
    video.thumbnail_wanted = BEST if at_seconds is None else at_seconds
    video.next_at, video.lease_until, video.fence, video.attempts = clock.now(), None, video.fence + 1, 0
    db.session.commit()
    wake_dispatcher()


def _no_frames(video: Video) -> StateConflictError:
    reasons = {
        "processing": "This video is still being measured. Try again once it is ready.",
        "archived": "The file of this video is gone. Send a picture instead.",
    }
    message = reasons.get(video.state, "This video was rejected: there is no frame to show.")
    return StateConflictError(message, {"found": video.state, "allowed": ["ready"]})


def put_image(principal: Principal, video_id: uuid.UUID, sent: Callable[[], Readable]) -> None:
    """Make a JPEG or PNG that somebody sends the video's picture. `sent` opens it, once the video is theirs.

    Raises PayloadTooLargeError, VideoValidationError (no picture, damaged, out of bounds), VideoProcessingError
    (no ffmpeg), or whatever the sender's going away raises.
    """
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id)
    db.session.rollback()
    with _folder() as folder:
        _receive(sent(), folder / "sent")
        picture = _stored(
            video.workspace_id,
            video_id,
            lambda out: image(folder / "sent", out=out, ffmpeg=_ffmpeg()),
            at=None,
        )
    row = Video.get_owned(video_id, workspace_id=principal.workspace_id, lock=True)
    _change(row, picture)
    if row.state == "ready":  # a worker that is just taking a frame has lost its claim: this picture is later
        row.next_at, row.lease_until, row.fence, row.attempts = None, None, row.fence + 1, 0
    db.session.commit()
    wake_dispatcher()


def _receive(stream: Readable, path: Path) -> None:
    size = 0
    with disk_errors():
        file = path.open("wb", buffering=0)
    with file:
        while piece := stream.read(READ_BYTES):
            size += len(piece)
            if size > MAX_IMAGE_BYTES:
                raise PayloadTooLargeError(
                    f"The picture has more than the {MAX_IMAGE_BYTES} bytes allowed. Send a smaller one.",
                    {"found": f"more than {MAX_IMAGE_BYTES}", "allowed": MAX_IMAGE_BYTES},
                )
            with disk_errors():  # around our writing only: the sender's going away is no trouble of the disk
                write_all(file.fileno(), piece)


# -- made by workers


def first(workspace_id: uuid.UUID, video_id: uuid.UUID, path: Path, facts: VideoFacts) -> Picture | None:
    """Store a good frame, to be given to its video; None without one, which keeps nobody from publishing."""
    try:
        return _take_frame(workspace_id, video_id, path, BEST, duration=facts.duration_seconds)
    except (VideoValidationError, VideoProcessingError) as error:
        logger.warning("a video has no thumbnail: %s", error.message)
        return None


def make(video_id: uuid.UUID, fence: int) -> None:
    """Take the frame that was asked for, of a claimed video. Losing the lease is a normal end."""
    row = db.session.get(Video, video_id, populate_existing=True)
    is_ours = row is not None and row.fence == fence and row.state == "ready"
    db.session.rollback()
    if row is None or not is_ours:
        return
    if row.thumbnail_wanted is None:
        _rest(video_id, fence)
        return
    if not leases.begin(Video, video_id, fence):
        return
    duration = float((row.facts or {}).get("duration_seconds") or 0.0)
    try:
        with leases.renewed(Video, video_id, fence), get_storage(row.backend).local_path(row.key) as path:
            picture = _take_frame(row.workspace_id, video_id, path, row.thumbnail_wanted, duration=duration)
    except VideoValidationError as error:
        _leave(video_id, fence, error)
    except AppException as error:
        logger.warning("a frame could not be taken yet: %s", error.message, exc_info=True)
        leases.write(Video, video_id, fence, next_at=clock.now() + AGAIN_AFTER, **leases.FREE)
        db.session.commit()
    else:
        _settle(video_id, fence, picture)


def _rest(video_id: uuid.UUID, fence: int) -> None:
    """Let a claimed video of which nothing is wanted come due no more. Commits."""
    unwanted = (Video.state == "ready", Video.thumbnail_wanted.is_(None))
    leases.write(Video, video_id, fence, *unwanted, next_at=None, **leases.FREE)
    db.session.commit()


def give_up(video_id: uuid.UUID, fence: int) -> None:
    """Leave the picture as it was: taking a frame killed its workers. Commits."""
    _leave(video_id, fence, VideoProcessingError("Taking this frame ended its process several times."))


def _settle(video_id: uuid.UUID, fence: int, picture: Picture) -> None:
    row = Video.locked(video_id)
    if row is None or row.fence != fence or row.state != "ready":
        db.session.rollback()
        return
    _change(row, picture)
    row.next_at, row.lease_until, row.attempts = None, None, 0
    db.session.commit()
    wake_dispatcher()


def _leave(video_id: uuid.UUID, fence: int, error: AppException) -> None:
    logger.warning("a frame could not be taken: %s", error.message)
    values = leases.FREE | {"next_at": None, "thumbnail_wanted": None}
    row = db.session.get(Video, video_id)
    if row is not None and leases.write(Video, video_id, fence, Video.state == "ready", **values):
        data: EventData = {"message": error.message}
        Event.record("video.thumbnail_failed", workspace_id=row.workspace_id, subject_id=video_id, data=data)
    db.session.commit()


# -- pictures and rows


def _take_frame(
    workspace_id: uuid.UUID, video_id: uuid.UUID, path: Path, at: float, *, duration: float
) -> Picture:
    ffmpeg = _ffmpeg()
    moment = best_moment(path, duration=duration) if at == BEST else at
    return _stored(
        workspace_id,
        video_id,
        lambda out: thumbnail(path, at_seconds=moment, out=out, ffmpeg=ffmpeg, or_first=at == BEST),
        at=round(moment, 3),
    )


def _stored(
    workspace_id: uuid.UUID, video_id: uuid.UUID, paint: Callable[[Path], None], *, at: float | None
) -> Picture:
    """Have a picture painted and stored under a name of its own."""
    store = get_storage()
    key = new_key("videos", video_id, f"thumbnail-{new_id().hex[-12:]}.jpg")
    with _folder() as folder:
        out = folder / "thumbnail.jpg"
        paint(out)
        promise = removals.unless_kept(workspace_id, store.backend, key)
        stored = store.put_file(key, out)
    columns = {
        "thumbnail_key": key,
        "thumbnail_backend": store.backend,
        "thumbnail_bytes": stored.size,
        "thumbnail_at": at,
    }
    return Picture(columns, promise)


def give(row: Video, picture: Picture) -> None:
    """Give a locked video its new picture and let go of the old one, in the caller's transaction.

    A platform may still be fetching the old one, so it stays as long as public links do. Raises
    StateConflictError, and rolls back, when the picture took so long that it was cleared away.
    """
    if not removals.keep(picture.promise):
        db.session.rollback()
        raise StateConflictError("This took too long, and the picture was cleared away. Send it again.")
    removals.plan(row.workspace_id, [removals.picture(row)], after=originals.PUBLIC_FOR)
    for name, value in picture.columns.items():
        setattr(row, name, value)
    row.thumbnail_wanted = None


def _change(row: Video, picture: Picture) -> None:
    give(row, picture)
    Event.record("video.thumbnail_changed", workspace_id=row.workspace_id, subject_id=row.id)


def _ffmpeg() -> str:
    found = find_ffmpeg(settings().ffmpeg_path)
    if found is None:
        raise VideoProcessingError("There is no ffmpeg, so no picture can be made. Run `flask doctor`.")
    return found


def _folder() -> AbstractContextManager[Path]:
    return private_folder(settings().data_dir / "tmp", "thumbnail-")
