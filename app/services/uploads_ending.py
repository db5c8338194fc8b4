"""How an upload in pieces ends: as a video, or as nothing.

`finishing` is written before anything is done about it, so whoever dies here is followed by the dispatcher.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, exists, or_, select, update

from app import clock
from app.exceptions import AppException, StorageError, UploadGoneError, VideoValidationError
from app.extensions import db
from app.logging_config import get_logger
from app.media import CONTENT_TYPES, SNIFF_BYTES, Container, inspect_layout, sniff
from app.models import Event, Post, Target, Upload, Video
from app.monitoring import track_video_upload
from app.queue import JobTimeout, wake_dispatcher
from app.services import leases, targets, uploads
from app.storage import Kept, get_storage

logger = get_logger(__name__)
SHOWN_FOR = timedelta(hours=24)  # how an upload ended can be read for this long
AGAIN_AFTER = timedelta(seconds=30)  # when the store would not do its part
OPEN = ("receiving", "importing", "finishing")
DELETED = "This video was deleted before it had come."


@dataclass(frozen=True)
class Whole:
    """An upload all of whose bytes are in the store."""

    id: uuid.UUID
    fence: int
    workspace_id: uuid.UUID
    created_by: uuid.UUID | None
    kind: str
    backend: str
    key: str
    kept: Kept
    texts: dict[str, str]

    @property
    def video_id(self) -> uuid.UUID:
        return video_id_of(self.key)


def video_id_of(key: str) -> uuid.UUID:
    """Return the id of the video whose file has this key."""
    return uuid.UUID(key.split("/")[1])


# -- as a video


def finish(upload_id: uuid.UUID, fence: int, *, sha256: str | None = None) -> None:
    """Make a video of a finishing upload that is ours; one that is not is left alone.

    Without `sha256` it is computed when the video is measured. Raises VideoValidationError, or UploadGoneError when
    the store has lost what was sent: these end the upload. After a StorageError the dispatcher tries again.
    """
    whole = _load(upload_id, fence)
    if whole is None:
        return
    try:
        with leases.renewed(Upload, upload_id, fence):
            get_storage(whole.backend).finish_growing(whole.key, whole.kept, sha256=sha256)
            container = _inspect(whole)
    except (VideoValidationError, UploadGoneError) as error:
        fail(upload_id, fence, error)
        raise
    except StorageError:
        leases.write(Upload, upload_id, fence, **leases.FREE, next_at=clock.now() + AGAIN_AFTER)
        db.session.commit()
        raise
    _become_video(whole, container, sha256 or "")


def _load(upload_id: uuid.UUID, fence: int) -> Whole | None:
    row = db.session.get(Upload, upload_id, populate_existing=True)
    whole = None
    if row is not None and (row.fence, row.state) == (fence, "finishing"):
        texts = {"title": row.title, "description": row.description, "filename": row.filename}
        kept = Kept(row.offset_bytes, row.parts)
        whole = Whole(
            row.id, fence, row.workspace_id, row.created_by, row.kind, row.backend, row.key, kept, texts
        )
    db.session.rollback()
    return whole


def _inspect(whole: Whole) -> Container:
    """Return what the file is by its bytes. Raises VideoValidationError when it is no whole video."""

    def read_at(offset: int, length: int) -> bytes:
        with get_storage(whole.backend).open_range(whole.key, offset, length) as reader:
            return reader.read()

    container = sniff(read_at(0, SNIFF_BYTES))
    inspect_layout(read_at, size=whole.kept.offset, container=container)
    return container


def _become_video(whole: Whole, container: Container, sha256: str) -> None:
    now, columns = clock.now(), _columns(whole, container, sha256)
    if whole.kind == "url":
        made = _fill_video(whole.video_id, columns)
    else:
        db.session.add(Video(id=whole.video_id, **columns))
        db.session.flush()
        made = True
    if not made:
        db.session.rollback()
        fail(whole.id, whole.fence, VideoValidationError(DELETED))
        return
    ours = leases.write(
        Upload, whole.id, whole.fence, Upload.state == "finishing",
        state="done", reserved_bytes=0, video_id=whole.video_id, content_type=columns["content_type"], parts={},
        source={}, url_encrypted=None, expires_at=now + SHOWN_FOR, next_at=now + SHOWN_FOR, **leases.FREE,
    )  # fmt: skip
    if not ours:
        db.session.rollback()
        return
    Event.record("video.uploaded", workspace_id=whole.workspace_id, subject_id=whole.video_id)
    db.session.commit()
    track_video_upload("success")
    logger.info("Video received", extra={"video_id": str(whole.video_id), "size_bytes": whole.kept.offset})
    wake_dispatcher()


def _columns(whole: Whole, container: Container, sha256: str) -> dict[str, Any]:
    return {
        **whole.texts,
        "workspace_id": whole.workspace_id,
        "created_by": whole.created_by,
        "content_type": CONTENT_TYPES[container],
        "backend": whole.backend,
        "key": whole.key,
        "size_bytes": whole.kept.offset,
        "sha256": sha256,
        "next_at": clock.now(),
    }


def _fill_video(video_id: uuid.UUID, columns: dict[str, Any]) -> bool:
    """Give a video that waits for its bytes what is known now; its texts may have been changed meanwhile."""
    known = {name: columns[name] for name in ("content_type", "size_bytes", "sha256", "next_at")}
    done = db.session.execute(
        update(Video)
        .where(Video.id == video_id, Video.state == "processing", Video.size_bytes == 0)
        .values(**known, updated_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


# -- as nothing


def fail(upload_id: uuid.UUID, fence: int, error: AppException, *, shown_for: timedelta = SHOWN_FOR) -> None:
    """End an upload that is ours with an error, and with it what waited for its video. Commits.

    Its bytes go at once, or later if the store does not let us.
    """
    row = db.session.get(Upload, upload_id, populate_existing=True)
    if row is not None and row.kind == "url":  # the video before its upload, as whoever deletes it does
        Video.locked(video_id_of(row.key))
        row = db.session.get(Upload, upload_id, populate_existing=True)
    if row is None or row.fence != fence or row.state in ("done", "failed"):
        db.session.rollback()
        return
    _mark_failed(row, error, shown_for=shown_for)
    if row.kind == "url":
        _reject_video(video_id_of(row.key), error)
    db.session.commit()
    track_video_upload("rejected" if error.status < 500 else "failed")
    logger.info("Upload ended without a video", extra={"upload_id": str(upload_id), "reason": error.code})
    tidy(upload_id, fence)
    wake_dispatcher()


def _mark_failed(row: Upload, error: AppException, *, shown_for: timedelta) -> None:
    now = clock.now()
    row.state, row.error, row.url_encrypted = "failed", error.to_dict(), None
    row.expires_at, row.next_at = now + shown_for, now
    row.lease_until, row.attempts, row.reserved_bytes = None, 0, 0


def end_of_deleted(video_id: uuid.UUID) -> None:
    """End an upload that still brings a locked video which is deleted now, in the caller's transaction.

    Whoever works on it finds another fence. The dispatcher removes its bytes at once, and looks once more when it
    forgets the row for what was still being written.
    """
    error = VideoValidationError(DELETED)
    open_ones = select(Upload).where(Upload.video_id == video_id, Upload.state.in_(OPEN)).with_for_update()
    for row in db.session.scalars(open_ones.execution_options(populate_existing=True)):
        row.fence += 1
        _mark_failed(row, error, shown_for=SHOWN_FOR)
        track_video_upload("rejected")


def _reject_video(video_id: uuid.UUID, error: AppException) -> None:
    """End a video that will never come; of one that no post names nothing is left."""
    video = db.session.get(Video, video_id)
    if video is None or video.state != "processing":
        return
    named = or_(exists().where(Target.video_id == video_id), exists().where(Post.video_id == video_id))
    if not db.session.scalar(select(named)):
        db.session.delete(video)
        db.session.flush()
        return
    video.state, video.error, video.next_at = "rejected", error.to_dict(), None
    Event.record("video.rejected", workspace_id=video.workspace_id, subject_id=video_id)
    targets.media_settled(video_id)


def tidy(upload_id: uuid.UUID, fence: int) -> None:
    """Remove what a failed upload left in the store, and its row once that was shown for long enough. Commits."""
    row = db.session.get(Upload, upload_id, populate_existing=True)
    if row is None or (row.fence, row.state) != (fence, "failed"):
        db.session.rollback()
        return
    backend, key, expires_at = row.backend, row.key, row.expires_at
    db.session.rollback()
    try:
        get_storage(backend).discard(key)
    except StorageError as error:
        logger.warning("A failed upload could not be removed yet", extra={"key": key, "error": error.code})
        leases.write(Upload, upload_id, fence, **leases.FREE, next_at=clock.now() + uploads.AGAIN_AFTER)
    else:
        if expires_at <= clock.now():
            db.session.execute(delete(Upload).where(Upload.id == upload_id, Upload.fence == fence))
        else:
            leases.write(Upload, upload_id, fence, **leases.FREE, parts={}, next_at=expires_at)
    db.session.commit()


# -- by the dispatcher


def attend(upload_id: uuid.UUID, fence: int) -> None:
    """Do what a claimed upload needs: finish it, clear it away, or forget how it ended."""
    row = db.session.get(Upload, upload_id, populate_existing=True)
    state = row.state if row is not None and row.fence == fence else None
    db.session.rollback()
    if state == "receiving":
        uploads.expire(upload_id, fence)
    elif state == "done":
        db.session.execute(delete(Upload).where(Upload.id == upload_id, Upload.fence == fence))
        db.session.commit()
    elif state in ("finishing", "failed") and leases.begin(Upload, upload_id, fence):
        _attend(upload_id, fence, state)


def _attend(upload_id: uuid.UUID, fence: int, state: str) -> None:
    if state == "failed":
        tidy(upload_id, fence)
        return
    try:
        finish(upload_id, fence)
    except (VideoValidationError, UploadGoneError) as error:
        logger.info("an upload became no video: %s", error.message)
    except StorageError:
        logger.warning("an upload could not be finished yet", exc_info=True)
    except JobTimeout:  # a slow store is no worker that died, and what was sent is still there
        logger.warning("an upload could not be finished in the time of a job")
        db.session.rollback()
        leases.write(Upload, upload_id, fence, **leases.FREE, next_at=clock.now() + uploads.AGAIN_AFTER)
        db.session.commit()
