"""Letting go of stored files. A row says that a file must go, in the transaction that no longer needs it.

The dispatcher finds the row and `uploads.expire` removes the file and then the row: whatever dies in between, it
is done again, and no file is left that no row names.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import delete, exists, select, update

from app import clock
from app.extensions import db
from app.models import Upload, Video
from app.models.base import new_id

KIND = "removal"
AT_ONCE = timedelta(0)
UNLESS_KEPT = timedelta(hours=1)  # what is not kept by then is not wanted


def plan(
    workspace_id: uuid.UUID, files: Iterable[tuple[str | None, str | None]], *, after: timedelta = AT_ONCE
) -> None:
    """Have files, each a (backend, key), removed `after` a while; one without a key is none. Does not commit."""
    at = clock.now() + after
    db.session.add_all(
        Upload(
            id=new_id(), workspace_id=workspace_id, kind=KIND, backend=backend, key=key, expires_at=at, next_at=at
        )
        for backend, key in files
        if backend and key
    )  # fmt: skip


def unless_kept(
    workspace_id: uuid.UUID, backend: str, key: str, *, within: timedelta = UNLESS_KEPT
) -> uuid.UUID:
    """Name a file before it is stored: it goes after `within`, unless `keep` is told otherwise. Commits."""
    at = clock.now() + within
    row = Upload(
        id=new_id(), workspace_id=workspace_id, kind=KIND, backend=backend, key=key, expires_at=at, next_at=at
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    return row.id


def keep(row_id: uuid.UUID) -> bool:
    """Keep the file, in the transaction in which another row names it; False when it is going already."""
    kept = db.session.execute(delete(Upload).where(Upload.id == row_id, Upload.fence == 0))
    return bool(kept.rowcount)  # type: ignore[attr-defined]


def hasten(row_id: uuid.UUID) -> None:
    """Have a file that was not kept removed at once. Commits."""
    now = clock.now()
    unclaimed = update(Upload).where(Upload.id == row_id, Upload.fence == 0)
    db.session.execute(unclaimed.values(next_at=now).execution_options(synchronize_session=False))
    db.session.commit()


def call_off(backend: str, key: str) -> bool:
    """Call off removals of a file, so that it may be written anew; False when one is under way. Commits."""
    its = (Upload.kind == KIND, Upload.backend == backend, Upload.key == key)
    db.session.execute(delete(Upload).where(*its, Upload.fence == 0))
    is_free = db.session.scalar(select(exists().where(*its)))
    db.session.commit()
    return not is_free


def original(video: Video) -> tuple[str, str | None]:
    """Return where the video's original lies; nowhere once it is archived."""
    return video.backend, None if video.state == "archived" else video.key


def picture(video: Video) -> tuple[str | None, str | None]:
    """Return where the video's thumbnail lies, if it has one."""
    return video.thumbnail_backend or video.backend, video.thumbnail_key
