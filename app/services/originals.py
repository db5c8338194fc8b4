"""A video's stored files as platforms get them: to read from, or as a link to fetch them by."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from app.exceptions import ResourceNotFoundError
from app.models import Rendition, Video
from app.services import files
from app.storage import FileSource, get_storage

RENDITION_TYPE = "video/mp4"
PUBLIC_FOR = timedelta(hours=26)  # a container of a platform that fetches lives for 24


def source(video: Video, rendition: Rendition | None = None) -> FileSource:
    """Return what goes out: the rendition if there is one, else the video's file as it was sent."""
    if rendition is not None and rendition.key is not None:
        store = get_storage(rendition.backend)
        return FileSource(store, rendition.key, rendition.size_bytes or 0, RENDITION_TYPE)
    return FileSource(
        get_storage(video.backend), video.key, video.size_bytes, video.content_type or "video/mp4"
    )


def thumbnail_at(video: Video, rendition: Rendition | None) -> float | None:
    """Return where the frame that is the thumbnail lies in what goes out, in seconds; as near as may be."""
    if video.thumbnail_at is None or rendition is None:
        return video.thumbnail_at
    start, length = rendition.recipe.get("start", 0.0), (rendition.facts or {}).get("duration_seconds", 0.0)
    return min(max(float(video.thumbnail_at) - float(start), 0.0), float(length))


def thumbnail_source(video: Video) -> FileSource | None:
    """Return the video's thumbnail, None if it has none. Asks the storage for its size."""
    if video.thumbnail_key is None:
        return None
    store = get_storage(video.thumbnail_backend)
    return FileSource(store, video.thumbnail_key, store.size(video.thumbnail_key), "image/jpeg")


def thumbnail_link(video: Video, *, lifetime: timedelta | None = None) -> str | None:
    """Return a signed link to the video's thumbnail, None if it has none."""
    if video.thumbnail_key is None:
        return None
    return files.link(
        video.thumbnail_key,
        backend=video.thumbnail_backend or video.backend,
        content_type="image/jpeg",
        name="thumbnail.jpg",
        version=video.thumbnail_key.rpartition("/")[2] + video.sha256,
        lifetime=lifetime,
    )


def rendition_link(rendition: Rendition, *, lifetime: timedelta | None = None) -> str | None:
    """Return a signed link to a rendition, None while it is not there."""
    if rendition.key is None or rendition.state != "ready":
        return None
    return files.link(
        rendition.key,
        backend=rendition.backend,
        content_type=RENDITION_TYPE,
        name="video.mp4",
        version=rendition.sha256 or "",
        lifetime=lifetime,
    )


def public_link(
    video: Video, what: Literal["video", "thumbnail"], *, rendition: Rendition | None = None
) -> str:
    """Return an address anybody can fetch the file from, for a day. Raises ResourceNotFoundError without one.

    The video's is that of its rendition, where one goes out.
    """
    if (
        what == "video"
        and rendition is not None
        and (found := rendition_link(rendition, lifetime=PUBLIC_FOR))
    ):
        return found
    if what == "video":
        return files.link(
            video.key,
            backend=video.backend,
            content_type=video.content_type or "video/mp4",
            name="video.mp4",
            version=video.sha256,
            lifetime=PUBLIC_FOR,
        )
    link = thumbnail_link(video, lifetime=PUBLIC_FOR)
    if link is None:
        raise ResourceNotFoundError(resource_type="Thumbnail", resource_id=video.id)
    return link
