"""Measuring a video that arrived: its facts, its picture, and what that means for the posts that wait for it."""

from __future__ import annotations

import tempfile
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from app import clock
from app.domain.video_spec import VideoFacts
from app.domain.video_state import VideoState, may_move
from app.embedded import find_ffmpeg
from app.exceptions import AppException, StorageError, VideoProcessingError, VideoValidationError
from app.extensions import db, settings
from app.logging_config import bind_context, get_logger
from app.media import measure as measure_file
from app.media import thumbnail
from app.models import Event, Video
from app.queue import wake_dispatcher
from app.services import leases, targets
from app.storage import get_storage, new_key

logger = get_logger(__name__)
AGAIN_AFTER = timedelta(seconds=60)  # when the trouble is ours (store, ffmpeg), not the file's
MAX_THUMBNAIL_AT = 1.0  # seconds; many videos begin with a black frame


def measure(video_id: uuid.UUID, fence: int) -> None:
    """Measure one claimed video and settle it. Losing the lease is a normal end; trouble of ours is tried again."""
    place = _take(video_id, fence)
    if place is None or not leases.begin(Video, video_id, fence):
        return
    bind_context(video_id=str(video_id))
    try:
        with leases.renewed(Video, video_id, fence), get_storage(place[0]).local_path(place[1]) as path:
            facts = measure_file(path)
            picture = _store_thumbnail(video_id, path, facts)
    except VideoValidationError as error:
        _settle(video_id, fence, "rejected", error=error.to_dict())
    except AppException as error:
        _postpone(video_id, fence, error)
    else:
        columns = {"facts": facts.to_dict(), "ready_at": clock.now(), **picture}
        _settle(video_id, fence, "ready", error=None, **columns)


def give_up(video_id: uuid.UUID, fence: int) -> None:
    """Reject a video whose measuring killed its workers. Commits."""
    error = VideoProcessingError(
        "Measuring this video ended its process several times, so it cannot be used. Export it again as MP4."
    )
    _settle(video_id, fence, "rejected", error=error.to_dict())


def _take(video_id: uuid.UUID, fence: int) -> tuple[str, str] | None:
    """Return where the video's file is (backend, key), if it is still ours; no transaction is open afterwards."""
    row = db.session.get(Video, video_id, populate_existing=True)
    is_ours = row is not None and row.fence == fence and row.state == "processing"
    place = (row.backend, row.key) if row is not None and is_ours else None
    db.session.rollback()
    return place


def _store_thumbnail(video_id: uuid.UUID, path: Path, facts: VideoFacts) -> dict[str, Any]:
    """Store the video's picture and return its columns; none without one, which keeps nobody from publishing."""
    ffmpeg = find_ffmpeg(settings().ffmpeg_path)
    if ffmpeg is None:
        logger.warning("no ffmpeg: a video has no thumbnail. Run `flask doctor`.")
        return {}
    folder = settings().data_dir / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="thumbnail-") as private:
        out = Path(private) / "thumbnail.jpg"
        try:
            thumbnail(
                path, at_seconds=min(MAX_THUMBNAIL_AT, facts.duration_seconds / 2), out=out, ffmpeg=ffmpeg
            )
        except (VideoValidationError, VideoProcessingError) as error:
            logger.warning("a video has no thumbnail: %s", error.message)
            return {}
        store = get_storage()
        stored = store.put_file(new_key("videos", video_id, "thumbnail.jpg"), out)
        return {
            "thumbnail_key": stored.key,
            "thumbnail_backend": store.backend,
            "thumbnail_bytes": stored.size,
        }


def _settle(video_id: uuid.UUID, fence: int, state: VideoState, **columns: Any) -> None:
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
