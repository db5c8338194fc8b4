"""Uploads as they are shown, and ending one early."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from app import clock
from app.domain.principal import Principal
from app.exceptions import ResourceNotFoundError, VideoValidationError
from app.extensions import db
from app.models import Upload
from app.models.base import JsonObject
from app.models.page import Page, paginate
from app.services import uploads_ending

KINDS = ("tus", "multipart", "url")  # other rows are our own: a simple upload under way, a file to be removed
AFTERMATH = timedelta(minutes=1)
STATES = ("receiving", "importing", "finishing", "done", "failed")


@dataclass(frozen=True)
class UploadView:
    """An upload as it is shown. `offset_bytes` of `total_bytes` are kept for good; the total may be unknown.

    `part_bytes` is the length of each part but the last, of an upload whose parts go to the store directly.
    `source_host` is where an import comes from; the rest of its address is a secret.
    """

    id: uuid.UUID
    kind: str
    state: str
    offset_bytes: int
    total_bytes: int | None
    filename: str
    video_id: uuid.UUID | None
    error: JsonObject | None
    source_host: str | None
    part_bytes: int | None
    created_at: datetime
    expires_at: datetime


def view(row: Upload) -> UploadView:
    """Return a row as it is shown."""
    return UploadView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        offset_bytes=row.offset_bytes,
        total_bytes=row.total_bytes,
        filename=row.filename,
        video_id=row.video_id,
        error=row.error,
        source_host=row.source.get("host"),
        part_bytes=row.parts.get("part_bytes"),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def owned(principal: Principal, upload_id: uuid.UUID, *, lock: bool = False) -> Upload:
    """Return the workspace's upload. Raises ResourceNotFoundError."""
    row = Upload.get_owned(upload_id, workspace_id=principal.workspace_id, lock=lock)
    if row.kind not in KINDS:
        raise ResourceNotFoundError(resource_type="Upload", resource_id=upload_id)
    db.session.refresh(row)
    return row


def get(principal: Principal, upload_id: uuid.UUID) -> UploadView:
    """Return one upload. Raises ResourceNotFoundError."""
    return view(owned(principal, upload_id))


def list_uploads(
    principal: Principal, *, limit: int, cursor: str | None = None, state: str | None = None
) -> Page[UploadView]:
    """Return the workspace's uploads, newest first."""
    query = select(Upload).where(Upload.workspace_id == principal.workspace_id, Upload.kind.in_(KINDS))
    if state:
        query = query.where(Upload.state == state)
    page = paginate(query, by=(Upload.id,), limit=limit, cursor=cursor)
    return Page([view(row) for row in page.data], page.next_cursor)


def end(principal: Principal, upload_id: uuid.UUID) -> None:
    """Forget an upload and remove its bytes; whoever still sends them is told. A video it became stays."""
    row = owned(principal, upload_id, lock=True)
    if row.state == "done":
        db.session.execute(delete(Upload).where(Upload.id == upload_id))
        db.session.commit()
        return
    now = clock.now()
    # Whoever sends at this moment may still put something there: it is looked for once more, a little later.
    shown_for = AFTERMATH if row.lease_until is not None and row.lease_until > now else timedelta(0)
    row.fence += 1
    fence, has_failed = row.fence, row.state == "failed"
    if has_failed:
        row.expires_at = now
    db.session.commit()
    if has_failed:
        uploads_ending.tidy(upload_id, fence)
        return
    reason = VideoValidationError("This upload was ended before the whole video had come.")
    uploads_ending.fail(upload_id, fence, reason, shown_for=shown_for)
