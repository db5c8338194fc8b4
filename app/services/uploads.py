"""Files on their way in. Every byte in the store is named by a row before it is written.

An upload's row is made first, its file next, and the video that it becomes in the transaction that ends the
row. Wherever that is cut off, the row is left, expires, and takes its file with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.domain.principal import Principal
from app.exceptions import AppException, PayloadTooLargeError, StateConflictError, StorageError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.media import CONTENT_TYPES, EXTENSIONS, SNIFF_BYTES, Container, inspect_layout, sniff
from app.models import Event, Upload, Video
from app.models.base import new_id
from app.monitoring import track_video_upload
from app.queue import wake_dispatcher
from app.services import leases, storage_quota
from app.services.idempotency import Remember, forget
from app.storage import Stored, get_storage, new_key
from app.storage.base import Readable

logger = get_logger(__name__)
LIFE = timedelta(hours=1)  # an upload that has not moved for this long is abandoned
NOTED_EVERY = 30.0  # seconds between two notes of how far an upload has come
AGAIN_AFTER = timedelta(minutes=5)  # when the store would not let us remove something


class Incoming(Protocol):
    """A file as it arrives. `total_bytes` is what the sender announced, if anything."""

    @property
    def filename(self) -> str: ...
    @property
    def total_bytes(self) -> int | None: ...

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, nothing at the end. Raises when the sender goes away."""

    def finish(self) -> Mapping[str, str]:
        """Return the texts that came with the file, `title` and `description`. Raises when cut off."""


@dataclass(frozen=True)
class _Place:
    """Where an upload goes, kept beside the row so that no transaction is open while bytes arrive."""

    upload_id: uuid.UUID
    video_id: uuid.UUID
    key: str
    container: Container
    meter: storage_quota.Meter


def receive(principal: Principal, incoming: Incoming, *, remember: Remember = forget) -> uuid.UUID:
    """Take in a video and return its id; it is measured afterwards. On any failure nothing is left.

    `remember` is called with the id just before the commit that makes the video.
    Raises PayloadTooLargeError, VideoValidationError (not a video, empty, cut off, a playlist in disguise),
    StorageError, or whatever the sender's going away raises.
    """
    try:
        video_id = _receive(principal, incoming, remember)
    except AppException as error:
        track_video_upload("rejected" if error.status < 500 else "failed")
        raise
    except BaseException:
        track_video_upload("failed")
        raise
    track_video_upload("success")
    return video_id


def _receive(principal: Principal, incoming: Incoming, remember: Remember) -> uuid.UUID:
    limit = settings().max_upload_bytes
    if incoming.total_bytes is not None and incoming.total_bytes > limit:
        facts = {"found": incoming.total_bytes, "allowed": limit}
        raise PayloadTooLargeError(
            f"The file has {incoming.total_bytes} bytes; at most {limit} are allowed. Send a smaller one.",
            facts,
        )
    db.session.rollback()  # whoever sends slowly must not hold the transaction in which he was let in
    stream = Rewound(incoming)
    place = _open(principal, incoming, sniff(stream.peek(SNIFF_BYTES)))
    try:
        stored = get_storage().put_stream(
            place.key,
            stream,
            max_bytes=limit,
            expected_bytes=incoming.total_bytes,
            on_progress=_Progress(place.upload_id, place.meter),
        )
        texts = incoming.finish()
        _check_layout(place, stored)
        _become_video(principal, place, stored, filename=incoming.filename, texts=texts)
        remember(place.video_id)
        db.session.commit()
    except BaseException:
        _abandon(place)
        raise
    logger.info("Video received", extra={"video_id": str(place.video_id), "size_bytes": stored.size})
    wake_dispatcher()
    return place.video_id


def _open(principal: Principal, incoming: Incoming, container: Container) -> _Place:
    video_id = new_id()
    key = new_key("videos", video_id, f"original.{EXTENSIONS[container]}")
    expires_at = clock.now() + LIFE
    row = Upload(
        id=new_id(),
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        kind="video",
        backend=get_storage().backend,
        key=key,
        filename=incoming.filename,
        content_type=CONTENT_TYPES[container],
        total_bytes=incoming.total_bytes,
        expires_at=expires_at,
        next_at=expires_at,
    )
    storage_quota.admit(row, wanted=incoming.total_bytes or 0)
    place = _Place(row.id, video_id, key, container, storage_quota.Meter(row))
    db.session.add(row)
    db.session.commit()
    return place


def _check_layout(place: _Place, stored: Stored) -> None:
    """Refuse a file that is cut off while its sender is still there to hear it."""

    def read_at(offset: int, length: int) -> bytes:
        with get_storage().open_range(place.key, offset, length) as reader:
            return reader.read()

    inspect_layout(read_at, size=stored.size, container=place.container)


def _become_video(
    principal: Principal, place: _Place, stored: Stored, *, filename: str, texts: Mapping[str, str]
) -> None:
    """End the upload and make the video, in one transaction which the caller commits."""
    ended = db.session.execute(delete(Upload).where(Upload.id == place.upload_id, Upload.fence == 0))
    if not ended.rowcount:  # type: ignore[attr-defined]
        db.session.rollback()
        raise StateConflictError("This upload took too long and was cleared away. Send the video again.")
    video = Video(
        id=place.video_id,
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        title=texts.get("title", ""),
        description=texts.get("description", ""),
        filename=filename,
        content_type=CONTENT_TYPES[place.container],
        backend=get_storage().backend,
        key=place.key,
        size_bytes=stored.size,
        sha256=stored.sha256,
        next_at=clock.now(),
    )
    db.session.add(video)
    Event.record("video.uploaded", workspace_id=principal.workspace_id, subject_id=place.video_id)
    db.session.flush()


def _abandon(place: _Place) -> None:
    """Leave nothing behind; what cannot be removed now is when the row expires."""
    try:
        db.session.rollback()
        get_storage().discard(place.key)
        db.session.execute(delete(Upload).where(Upload.id == place.upload_id))
        db.session.commit()
    except (StorageError, SQLAlchemyError) as error:
        db.session.rollback()
        logger.warning("An abandoned upload stays until it expires", extra={"error": type(error).__name__})


class Rewound:
    """A stream whose first bytes were looked at already."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._head = stream, b""

    def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, fewer only when there are no more; `read` gives them again."""
        while len(self._head) < size and (piece := self._stream.read(size - len(self._head))):
            self._head += piece
        return self._head

    def read(self, size: int, /) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._stream.read(size)


class _Progress:
    """Writes down now and then how far an upload has come, which also keeps it from expiring."""

    def __init__(self, upload_id: uuid.UUID, meter: Callable[[int], None] | None = None) -> None:
        self._upload_id, self._noted_at, self._meter = upload_id, clock.monotonic(), meter

    def __call__(self, offset: int) -> None:
        if self._meter is not None:
            self._meter(offset)
        if clock.monotonic() < self._noted_at + NOTED_EVERY:
            return
        self._noted_at = clock.monotonic()
        try:
            kept = self._note(offset, clock.now() + LIFE)
        except SQLAlchemyError:  # the bytes still arrive; the next note may be possible again
            db.session.rollback()
            logger.warning("an upload's progress could not be noted", exc_info=True)
            return
        if not kept:
            raise StateConflictError("This upload took too long and was cleared away. Send the video again.")

    def _note(self, offset: int, expires_at: datetime) -> bool:
        kept = leases.write(
            Upload, self._upload_id, 0, offset_bytes=offset, expires_at=expires_at, next_at=expires_at
        )
        db.session.commit()
        return kept


# -- clearing away


def expire(upload_id: uuid.UUID, fence: int) -> None:
    """Remove the file of a claimed upload that was abandoned, or of a video that was deleted, and its row."""
    row = db.session.get(Upload, upload_id)
    if row is None or row.fence != fence:
        db.session.rollback()
        return
    backend, key = row.backend, row.key
    db.session.rollback()
    if not leases.begin(Upload, upload_id, fence):
        return
    try:
        get_storage(backend).discard(key)
    except StorageError as error:
        logger.warning("A file could not be removed yet", extra={"key": key, "error": error.code})
        leases.write(Upload, upload_id, fence, **leases.FREE, next_at=clock.now() + AGAIN_AFTER)
    else:
        db.session.execute(delete(Upload).where(Upload.id == upload_id, Upload.fence == fence))
    db.session.commit()


def give_up(upload_id: uuid.UUID, fence: int) -> None:
    """Removing a file killed its workers: try again tomorrow, for what is in the store must not stay. Commits."""
    leases.write(Upload, upload_id, fence, **leases.FREE, next_at=clock.now() + timedelta(days=1))
    db.session.commit()
