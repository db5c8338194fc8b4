"""The comments that exist on the stand-in platforms: counted like posts, for none may appear twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.clock import isoformat

if TYPE_CHECKING:
    from sandbox.state import Sandbox


@dataclass
class Comment:
    """A comment exists from its creation on. Times are seconds of the virtual clock."""

    id: str
    platform: str
    post_id: str
    account: str
    text: str
    created_at: float

    @property
    def key(self) -> str:
        return self.id

    def dump(self) -> dict[str, Any]:
        return vars(self) | {"created_at": isoformat(self.created_at)}


def select(comments: Iterable[Comment], **wanted: str | None) -> list[Comment]:
    """Return the comments whose named attributes have the wanted values, oldest first; None asks nothing."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    found = [item for item in comments if all(getattr(item, name) == value for name, value in asked.items())]
    return sorted(found, key=lambda item: item.created_at)


def listed(sandbox: Sandbox, **wanted: str | None) -> list[Comment]:
    """Return those of `select` that a platform's list shows by now: a new one may be missing for a while."""
    shown_since = sandbox.now() - sandbox.settings.comment_lag_seconds / sandbox.settings.speed
    return [item for item in select(sandbox.comments.values(), **wanted) if item.created_at <= shown_since]
