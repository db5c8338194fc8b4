"""The posts that exist on the stand-in platforms, and the markers in a caption that cause trouble."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.clock import isoformat

MARKERS = {
    "[sim:fail=REASON]": "Processing ends in failure with that reason; nothing is posted.",
    "[sim:drop-before]": "The first last byte is lost: the connection closes and nothing has happened.",
    "[sim:drop-after]": "The first last byte posts the video, then the connection closes without an answer.",
    "[sim:slow=SECONDS]": "The video is posted at once; the answer to the last byte comes that much later.",
    "[sim:late-reject]": "The post appears and is removed a little later.",
}
_MARKER = re.compile(r"\[sim:([a-z-]+)(?:=([A-Za-z0-9_.-]{1,64}))?\]")


def read_markers(caption: str) -> dict[str, str]:
    """Return the caption's markers by name; a marker without a value has an empty one."""
    return {name: value or "" for name, value in _MARKER.findall(caption)}


@dataclass
class Post:
    """A post exists from its commit on. Times are seconds since the epoch.

    `commit_*` are real time: when the committing request's headers had arrived and when the post had been
    written. The others are the virtual clock's. `file` names the stored bytes.
    """

    id: str
    platform: str
    account: str
    caption: str
    privacy: str
    sha256: str
    size: int
    content_type: str
    file: str
    publish_id: str
    path: str
    created_at: float
    visible_at: float
    commit_received_at: float
    commit_finished_at: float
    removed_at: float | None = None
    removed_reason: str = ""

    @property
    def key(self) -> str:
        return self.id

    def is_removed(self, now: float) -> bool:
        return self.removed_at is not None and self.removed_at <= now

    def is_visible(self, now: float) -> bool:
        """Tell whether the platform shows the post's id and page by now."""
        return self.visible_at <= now and not self.is_removed(now)

    def dump(self, *, base_url: str, now: float) -> dict[str, Any]:
        """Return the post as JSON values with absolute addresses and ISO times."""
        hidden = {"key", "path", "file"}
        facts = {name: value for name, value in vars(self).items() if name not in hidden}
        times = ("created_at", "visible_at", "commit_received_at", "commit_finished_at", "removed_at")
        facts |= {name: isoformat(facts[name]) for name in times}
        return facts | {
            "removed": self.is_removed(now),
            "permalink": base_url.rstrip("/") + self.path,
            "file_url": f"{base_url.rstrip('/')}/files/{self.id}",
        }


def select(posts: Iterable[Post], **wanted: str | None) -> list[Post]:
    """Return the posts whose named attributes have the wanted values, newest first; None asks nothing."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    found = [post for post in posts if all(getattr(post, name) == value for name, value in asked.items())]
    return sorted(found, key=lambda post: post.created_at, reverse=True)
