"""A video's stored files as platforms get them: to read from, or as a link to fetch them by."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from app.exceptions import ResourceNotFoundError
from app.models import Video
from app.services import files
from app.storage import FileSource, get_storage

PUBLIC_FOR = timedelta(hours=26)  # a container of a platform that fetches lives for 24


def thumbnail_source(video: Video) -> FileSource | None:
    """Return the video's thumbnail, None if it has none. Asks the storage for its size."""
    if video.thumbnail_key is None:
        return None
    size = get_storage().size(video.thumbnail_key)
    return FileSource(get_storage(), video.thumbnail_key, size, "image/jpeg")


def public_link(video: Video, what: Literal["video", "thumbnail"]) -> str:
    """Return an address anybody can fetch the file from, for a day. Raises ResourceNotFoundError without one."""
    if what == "video":
        kind, name = video.content_type or "video/mp4", "video.mp4"
        return files.link(video.key, content_type=kind, name=name, version=video.sha256, lifetime=PUBLIC_FOR)
    if video.thumbnail_key is None:
        raise ResourceNotFoundError(resource_type="Thumbnail", resource_id=video.id)
    return files.link(
        video.thumbnail_key,
        content_type="image/jpeg",
        name="thumbnail.jpg",
        version=video.sha256,
        lifetime=PUBLIC_FOR,
    )
