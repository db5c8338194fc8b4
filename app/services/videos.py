"""Videos: finding, renaming and deleting them. How they arrive is in `uploads`, how they are measured in
`measuring`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, or_, select, update

from app import clock
from app.domain.principal import Principal
from app.domain.video_state import STATES
from app.exceptions import PreconditionFailedError, ResourceNotFoundError
from app.extensions import db
from app.models import Post, Rendition, Target, Video
from app.models.base import JsonObject
from app.models.page import Page, paginate
from app.queue import wake_dispatcher
from app.services import (
    archiving,
    files,
    originals,
    removals,
    renditions,
    thumbnails,
    uploads,
    uploads_ending,
)
from app.services.idempotency import Remember, forget
from app.storage.base import Readable

DELETED = "archived"


@dataclass(frozen=True)
class VideoView:
    """A video as it is shown. `duplicate_of`: an earlier video of the workspace with the same bytes."""

    id: uuid.UUID
    title: str
    description: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    state: str
    facts: JsonObject | None
    error: JsonObject | None
    file_url: str | None
    thumbnail_url: str | None
    thumbnail_at: float | None
    thumbnail_pending: bool
    created_at: datetime
    updated_at: datetime
    ready_at: datetime | None
    version: int
    archived_at: datetime | None
    duplicate_of: uuid.UUID | None = None
    renditions: tuple[JsonObject, ...] = ()


def create(principal: Principal, incoming: uploads.Incoming, *, remember: Remember = forget) -> VideoView:
    """Take in a video and return it, still to be measured. Raises what `uploads.receive` raises."""
    video_id = uploads.receive(principal, incoming, remember=lambda made: remember(get(principal, made)))
    return get(principal, video_id)


def get(principal: Principal, video_id: uuid.UUID) -> VideoView:
    """Return one video. Raises ResourceNotFoundError."""
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id)
    return _views([video], principal)[0]


def list_videos(
    principal: Principal, *, limit: int, cursor: str | None = None, state: str | None = None
) -> Page[VideoView]:
    """Return the workspace's videos, newest first; deleted ones only when asked for."""
    own = Video.workspace_id == principal.workspace_id
    states = [state] if state else [each for each in STATES if each != DELETED]
    parts = [and_(own, Video.state == each) for each in states]
    page = paginate(select(Video).where(own), by=(Video.id,), limit=limit, cursor=cursor, parts=parts)
    return Page(_views(page.data, principal), page.next_cursor)


def edit(
    principal: Principal, video_id: uuid.UUID, changes: dict[str, str], *, version: int | None = None
) -> VideoView:
    """Change title or description. Raises PreconditionFailedError when it is no longer at `version`."""
    statement = update(Video).where(Video.id == video_id, Video.workspace_id == principal.workspace_id)
    if version is not None:
        statement = statement.where(Video.version == version)
    changed = db.session.execute(
        statement.values(**changes, version=Video.version + 1, updated_at=clock.now()).execution_options(
            synchronize_session=False
        )
    )
    db.session.commit()
    view = get(principal, video_id)
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise PreconditionFailedError(details={"found": version, "version": view.version})
    return view


def thumbnail_link(principal: Principal, video_id: uuid.UUID) -> str:
    """Return a signed link to the video's picture. Raises ResourceNotFoundError when it has none yet."""
    return _required(get(principal, video_id).thumbnail_url, "Thumbnail", video_id)


def choose_thumbnail(principal: Principal, video_id: uuid.UUID, *, at_seconds: float | None) -> VideoView:
    """Have a frame made the video's picture; see `thumbnails.choose`."""
    thumbnails.choose(principal, video_id, at_seconds=at_seconds)
    return get(principal, video_id)


def put_thumbnail(principal: Principal, video_id: uuid.UUID, sent: Callable[[], Readable]) -> VideoView:
    """Make a picture the video's own; see `thumbnails.put_image`."""
    thumbnails.put_image(principal, video_id, sent)
    return get(principal, video_id)


def file_link(principal: Principal, video_id: uuid.UUID) -> str:
    """Return a signed link to the video's file. Raises ResourceNotFoundError when it was deleted."""
    return _required(get(principal, video_id).file_url, "File", video_id)


def _required(link: str | None, noun: str, video_id: uuid.UUID) -> str:
    if link is None:
        raise ResourceNotFoundError(resource_type=noun, resource_id=video_id)
    return link


# -- archiving and deleting


def archive(principal: Principal, video_id: uuid.UUID, *, remember: Remember = forget) -> VideoView:
    """Let go of a video's bytes; what is known and told of it stays. See `archiving.archive`."""
    archiving.archive(principal, video_id)
    view = get(principal, video_id)
    remember(view)
    db.session.commit()
    wake_dispatcher()
    return view


def delete(principal: Principal, video_id: uuid.UUID) -> None:
    """Delete a video and its files. Raises StateConflictError while open posts use it.

    Facts of a video that posts tell of stay, as `archived`; deleting it once more changes nothing.
    """
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id, lock=True)
    is_told_of = _is_told_of(video)
    if video.state == DELETED and video.thumbnail_key is None and is_told_of:
        db.session.rollback()
        return
    archiving.refuse_while_used(video)
    removals.plan(video.workspace_id, [removals.picture(video)])
    archiving.let_go([video], event="video.deleted")
    uploads_ending.end_of_deleted(video_id)
    if is_told_of:
        video.thumbnail_key = video.thumbnail_backend = video.thumbnail_bytes = video.thumbnail_at = None
    else:
        db.session.delete(video)
    db.session.commit()
    wake_dispatcher()


def _is_told_of(video: Video) -> bool:
    told = or_(exists().where(Target.video_id == video.id), exists().where(Post.video_id == video.id))
    return bool(db.session.scalar(select(told)))


# -- showing


def _views(videos: Sequence[Video], principal: Principal) -> list[VideoView]:
    earlier = _first_of({video.sha256 for video in videos} - {""}, principal)
    made = renditions.list_of(video.id for video in videos)
    return [_with_original(_view(video, made), earlier) for video in videos]


def _first_of(hashes: Collection[str], principal: Principal) -> dict[str, uuid.UUID]:
    """Return the oldest video of the workspace with each of these contents."""
    query = (
        select(Video.sha256, Video.id)
        .where(Video.workspace_id == principal.workspace_id, Video.sha256.in_(hashes), Video.state != DELETED)
        .order_by(Video.id.desc())
    )
    return {row.sha256: row.id for row in db.session.execute(query)}


def _with_original(view: VideoView, earlier: dict[str, uuid.UUID]) -> VideoView:
    first = earlier.get(view.sha256)
    return view if first is None or first >= view.id else replace(view, duplicate_of=first)


def _view(video: Video, made: Sequence[Rendition]) -> VideoView:
    own = tuple(renditions.shown(row, video) for row in made if row.video_id == video.id)
    columns = {name: getattr(video, name) for name in _COLUMNS}
    return VideoView(**columns, **_links(video), renditions=own)


_COLUMNS = (
    "id", "title", "description", "filename", "content_type", "size_bytes", "sha256", "state", "facts", "error",
    "created_at", "updated_at", "ready_at", "version", "thumbnail_at", "archived_at",
)  # fmt: skip


def _links(video: Video) -> dict[str, Any]:
    has_file = video.has_bytes
    name = video.filename or video.key.rpartition("/")[2]
    version = video.sha256
    return {
        "file_url": files.link(
            video.key, backend=video.backend, content_type=video.content_type, name=name, version=version
        )
        if has_file
        else None,
        "thumbnail_url": originals.thumbnail_link(video),
        "thumbnail_pending": video.state == "ready" and video.thumbnail_wanted is not None,
    }
