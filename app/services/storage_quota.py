"""How much a workspace stores, and how much it may.

What counts against the limit is what people put in: originals, and uploads under way with the bytes they hold.
Renditions and thumbnails are ours; they are shown, go by themselves and never keep a post from going out.

The sum is taken exactly, from the rows, while the workspace's row is locked: there is no counter that could drift,
and of uploads that begin together each sees those before it. An upload's row turns into its video's in one
transaction, so every byte is counted once.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from app.exceptions import ResourceNotFoundError, StorageQuotaError
from app.extensions import db, settings
from app.models import Rendition, Upload, Video, Workspace
from app.services.removals import KIND as REMOVAL

STEP = 64 * 1024**2  # bytes held ahead for an upload whose length nobody announced


@dataclass(frozen=True)
class Files:
    """How many files of a kind there are, and their bytes."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Usage:
    """What a workspace stores; `counted_bytes` of `limit_bytes` (None: no limit) are used up."""

    originals: Files
    uploads: Files
    renditions: Files
    thumbnails: Files
    counted_bytes: int
    limit_bytes: int | None


def usage(workspace_id: uuid.UUID) -> Usage:
    """Return what a workspace stores."""
    originals = _files(Video.size_bytes, Video.workspace_id == workspace_id, Video.state != "archived")
    uploads = _files(Upload.reserved_bytes, Upload.workspace_id == workspace_id, Upload.kind != REMOVAL)
    return Usage(
        originals=originals,
        uploads=uploads,
        renditions=_files(
            Rendition.size_bytes, Rendition.workspace_id == workspace_id, Rendition.key.is_not(None)
        ),
        thumbnails=_files(
            Video.thumbnail_bytes, Video.workspace_id == workspace_id, Video.thumbnail_key.is_not(None)
        ),
        counted_bytes=originals.bytes + uploads.bytes,
        limit_bytes=_limit(
            db.session.scalar(select(Workspace.storage_limit_bytes).where(Workspace.id == workspace_id))
        ),
    )


def set_limit(workspace_id: uuid.UUID, limit: int | None) -> None:
    """Give a workspace a limit of its own; 0: none at all, None: the installation's. Commits."""
    row = db.session.get(Workspace, workspace_id, with_for_update=True)
    if row is None:
        raise ResourceNotFoundError(resource_type="Workspace", resource_id=workspace_id)
    row.storage_limit_bytes = limit
    db.session.commit()


def admit(upload: Upload, wanted: int) -> None:
    """Have an upload hold `wanted` bytes in all, in the caller's transaction, before any of them is stored.

    The upload's row may be new. Raises StorageQuotaError, and rolls back, when they are too many.
    """
    upload.reserved_bytes = _held(
        upload.workspace_id, upload.id, already=upload.reserved_bytes or 0, wanted=wanted
    )


class Meter:
    """Holds more for an upload as it grows beyond what it holds; called with its bytes so far.

    Opens and ends a short transaction of its own when more must be held. Raises StorageQuotaError.
    """

    def __init__(self, upload: Upload) -> None:
        self._id, self._workspace_id = upload.id, upload.workspace_id
        self._held = upload.reserved_bytes or 0

    def __call__(self, offset: int) -> None:
        if offset <= self._held:
            return
        row = db.session.get(Upload, self._id, populate_existing=True)
        if row is not None:
            try:
                self._held = _held(
                    self._workspace_id, self._id, already=row.reserved_bytes, wanted=offset + STEP
                )
            except StorageQuotaError:  # not a whole step, but this much may still fit
                row = db.session.get_one(Upload, self._id, populate_existing=True)
                self._held = _held(self._workspace_id, self._id, already=row.reserved_bytes, wanted=offset)
            row.reserved_bytes = self._held
        db.session.commit()


def _held(workspace_id: uuid.UUID, upload_id: uuid.UUID, *, already: int, wanted: int) -> int:
    """Return the bytes the upload may hold from now on. Raises StorageQuotaError."""
    if wanted <= already:
        return already
    query = select(Workspace.storage_limit_bytes).where(Workspace.id == workspace_id)
    own = db.session.scalar(query)
    if _limit(own) is None:
        return wanted
    limit = _limit(db.session.scalar(query.with_for_update(key_share=True)))
    counted = _counted(workspace_id, but=upload_id)
    if limit is not None and counted + wanted > limit:
        db.session.rollback()
        raise StorageQuotaError(
            f"This workspace stores {counted} of the {limit} bytes it may; {wanted} more do not fit. Delete or "
            "archive videos, or ask whoever runs this installation for more.",
            {"found": counted + wanted, "allowed": limit, "used": counted},
        )
    return wanted


def _limit(own: int | None) -> int | None:
    limit = settings().workspace_storage_bytes if own is None else own
    return limit or None


def _counted(workspace_id: uuid.UUID, *, but: uuid.UUID) -> int:
    """Return the bytes that count, but for one upload's.

    One statement, so one moment: an upload that becomes a video between two would be in neither sum.
    """
    videos = select(func.coalesce(func.sum(Video.size_bytes), 0)).where(
        Video.workspace_id == workspace_id, Video.state != "archived"
    )
    uploads = select(func.coalesce(func.sum(Upload.reserved_bytes), 0)).where(
        Upload.workspace_id == workspace_id, Upload.kind != REMOVAL, Upload.id != but
    )
    return int(db.session.scalar(select(videos.scalar_subquery() + uploads.scalar_subquery())) or 0)


def _files(column: Any, *where: Any) -> Files:
    row = db.session.execute(select(func.count(), func.coalesce(func.sum(column), 0)).where(*where)).one()
    return Files(int(row[0]), int(row[1]))
