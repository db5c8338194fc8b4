"""Measuring a video that arrived: its facts, its picture, and what that means for the posts that wait for it."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from app import clock, warm_stop
from app.domain.video_state import VideoState, may_move
from app.exceptions import (
    AppException,
    ResourceNotFoundError,
    StorageError,
    VideoProcessingError,
    VideoValidationError,
)
from app.extensions import db
from app.logging_config import bind_context, get_logger
from app.media import measure as measure_file
from app.models import Event, Video
from app.queue import JobTimeout, wake_dispatcher
from app.services import leases, targets, thumbnails
from app.storage import get_storage

logger = get_logger(__name__)
AGAIN_AFTER = timedelta(seconds=60)  # when the trouble is ours (store, ffmpeg), not the file's
TOO_SLOW = (
    "Fetching this video from the store took longer than a worker may take for it; it is tried again. "
    "Look at how fast the store answers."
)


def measure(video_id: uuid.UUID, fence: int) -> None:
    """Measure one claimed video and settle it. Losing the lease is a normal end; trouble of ours is tried again."""
    place, known = _take(video_id, fence)
    if place is None or not leases.begin(Video, video_id, fence):
        return
    bind_context(video_id=str(video_id))
    try:
        with (
            leases.renewed(Video, video_id, fence),
            warm_stop.ends_work(),
            get_storage(place[0]).local_path(place[1]) as path,
        ):
            facts = measure_file(path)
            sha256 = known or _sha256(path)
            picture = thumbnails.first(place[2], video_id, path, facts)
    except warm_stop.Stopped:  # fetching a large one takes longer than a worker that stops is waited for
        leases.hand_back(Video, video_id, fence)
    except ResourceNotFoundError:
        gone = VideoProcessingError("The store no longer has the file of this video. Upload it again.")
        _settle(video_id, fence, "rejected", error=gone.to_dict())
    except VideoValidationError as error:
        _settle(video_id, fence, "rejected", error=error.to_dict())
    except JobTimeout:  # measuring has a limit of its own; a slow store is no worker that died
        _postpone(video_id, fence, StorageError(TOO_SLOW))
    except AppException as error:
        _postpone(video_id, fence, error)
    else:
        columns = {"facts": facts.to_dict(), "sha256": sha256, "ready_at": clock.now()}
        _settle(video_id, fence, "ready", picture=picture, error=None, **columns)


def give_up(video_id: uuid.UUID, fence: int) -> None:
    """Reject a video whose measuring killed its workers. Commits."""
    error = VideoProcessingError(
        "Measuring this video ended its process several times, so it cannot be used. Export it again as MP4."
    )
    _settle(video_id, fence, "rejected", error=error.to_dict())
    thumbnails.give_up(video_id, fence)  # of one that was ready already


def _take(video_id: uuid.UUID, fence: int) -> tuple[tuple[str, str, uuid.UUID] | None, str]:
    """Return where the video's file is (backend, key) and whose, if it is still ours, and its hash if that is known.

    Ends the transaction.
    """
    row = db.session.get(Video, video_id, populate_existing=True)
    found: tuple[tuple[str, str, uuid.UUID] | None, str] = (None, "")
    if row is not None and row.fence == fence and row.state == "processing":
        found = ((row.backend, row.key, row.workspace_id), row.sha256)
    db.session.rollback()
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settle(
    video_id: uuid.UUID,
    fence: int,
    state: VideoState,
    *,
    picture: thumbnails.Picture | None = None,
    **columns: Any,
) -> None:
    """Write how the measuring ended, under the fence, together with what it means for waiting posts. Commits."""
    assert may_move("processing", state)
    owned = leases.write(
        Video, video_id, fence, Video.state == "processing",
        state=state, next_at=None, updated_at=clock.now(), **leases.FREE, **columns,
    )  # fmt: skip
    row = db.session.get(Video, video_id, populate_existing=True) if owned else None
    if row is None:
        db.session.rollback()
        return
    if picture is not None and row.thumbnail_key is None:  # nobody sent one meanwhile
        thumbnails.give(row, picture)
    Event.record(f"video.{state}", workspace_id=row.workspace_id, subject_id=video_id)
    targets.media_settled(video_id)
    db.session.commit()
    logger.info("Video settled", extra={"video_id": str(video_id), "state": state})
    wake_dispatcher()


def _postpone(video_id: uuid.UUID, fence: int, error: AppException) -> None:
    level = logger.warning if isinstance(error, StorageError) else logger.error
    level("a video could not be measured yet: %s", error.message, exc_info=True)
    leases.write(
        Video, video_id, fence, error=error.to_dict(), next_at=clock.now() + AGAIN_AFTER, **leases.FREE
    )
    db.session.commit()
