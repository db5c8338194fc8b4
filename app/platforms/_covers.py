"""What a platform takes as the cover of a post: a picture, or only a frame of the video. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from app.platforms._options import Problem

OPTION = "use_thumbnail"


@dataclass(frozen=True)
class Cover:
    """`takes`: a picture (JPEG of at most `max_bytes`), or a frame of the video, named by its time.

    `advice` says what the platform shows best; pictures of another shape are cropped or given bars by it.
    """

    takes: Literal["picture", "frame"]
    source: str
    checked_on: str
    advice: str = ""
    max_bytes: int | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A video's picture as far as covers care. `at_seconds` None: a picture that was sent."""

    size_bytes: int | None
    at_seconds: float | None


def cover_problem(cover: Cover | None, label: str, thumbnail: Thumbnail | None) -> Problem | None:
    """Return why the video's thumbnail cannot be this platform's cover, or None. None for a platform without covers."""
    if cover is None:
        return None
    found: Any = None
    if thumbnail is None:
        message = "This video has no thumbnail. Choose a frame or send a picture, or turn this option off."
    elif cover.takes == "frame" and thumbnail.at_seconds is None:
        found = "a picture"
        message = f"{label} takes a frame of the video as cover, not a picture. Choose a frame by its time."
    elif cover.max_bytes and thumbnail.size_bytes and thumbnail.size_bytes > cover.max_bytes:
        found = thumbnail.size_bytes
        message = (
            f"{label} takes covers of at most {cover.max_bytes} bytes; found {found}. Send a smaller one."
        )
    else:
        return None
    return Problem(f"options.{OPTION}", message, found, cover.max_bytes or cover.takes)
