"""Whether a video's picture can be the cover a post asks for, told before anything is scheduled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.models import Video
from app.platforms.base import Platform, Thumbnail, cover_problem


def problems(platform: Platform, options: Mapping[str, Any], *, video: Video) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong); of a video that is still measured nothing is known yet."""
    if options.get("use_thumbnail") is not True or video.state == "processing":
        return
    picture = Thumbnail(video.thumbnail_bytes, video.thumbnail_at) if video.thumbnail_key else None
    problem = cover_problem(platform.cover, platform.label, picture)
    if problem is not None:
        yield problem.field, problem.message
