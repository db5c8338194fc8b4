"""The lock of an upload: one sender at a time, and one that died is in nobody's way for long."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import PayloadTooLargeError, StateConflictError, UploadGoneError, UploadLockedError
from app.extensions import db, settings
from app.models import Upload
from app.services import leases, uploads_shown
from app.services.uploads_new import expiry
from app.storage import Kept

LOCK = timedelta(seconds=5)


def take(principal: Principal, upload_id: uuid.UUID, *, offset: int) -> Lock | None:
    """Take the lock; None when everything has come already. Raises what keeps us from it. Commits."""
    now = clock.now()
    taken = db.session.execute(
        update(Upload)
        .where(
            Upload.id == upload_id,
            Upload.workspace_id == principal.workspace_id,
            Upload.kind == "tus",
            Upload.state == "receiving",
            Upload.offset_bytes == offset,
            or_(Upload.lease_until.is_(None), Upload.lease_until <= now),
        )
        .values(fence=Upload.fence + 1, lease_until=now + LOCK)
        .returning(Upload.fence, Upload.backend, Upload.key, Upload.total_bytes, Upload.parts)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if taken is None:
        _refuse(uploads_shown.owned(principal, upload_id), offset, now)
        return None
    db.session.commit()
    return Lock(upload_id, taken, Kept(offset, taken.parts))


def _refuse(row: Upload, offset: int, now: datetime) -> None:
    """Raise why nothing can be added at this offset; return if all is there already."""
    if row.kind != "tus":
        raise StateConflictError(
            "This upload does not take bytes here.", {"kind": row.kind, "allowed": "tus"}
        )
    if row.state == "failed":
        raise UploadGoneError(details={"state": row.state, "error": row.error})
    if row.lease_until is not None and row.lease_until > now and row.state == "receiving":
        raise UploadLockedError(details={"offset": row.offset_bytes})
    if row.offset_bytes != offset:
        raise StateConflictError(
            f"This upload goes on at byte {row.offset_bytes}, not at {offset}.",
            {"found": offset, "expected": row.offset_bytes},
        )


class Lock:
    """The right to write on an upload, for as long as each save finds the fence unchanged."""

    def __init__(self, upload_id: uuid.UUID, taken: Any, kept: Kept) -> None:
        self.upload_id = upload_id
        self.fence: int = taken.fence
        self.backend: str = taken.backend
        self.key: str = taken.key
        self.total_bytes: int = taken.total_bytes
        self.kept = kept
        self._saved_at = clock.monotonic()

    def check_length(self, length: int | None) -> None:
        """Raise PayloadTooLargeError when more bytes are announced than the upload has left."""
        left = self.total_bytes - self.kept.offset
        if length is not None and length > left:
            raise PayloadTooLargeError(
                f"{length} bytes are announced and {left} are left of this upload.",
                {"found": length, "allowed": left},
            )

    @property
    def age(self) -> float:
        """Return how long ago the lock was renewed, in seconds."""
        return clock.monotonic() - self._saved_at

    def save(self, kept: Kept, *, last: bool = False) -> None:
        """Keep the offset and renew the lock, or with `last` let go of it. Raises UploadGoneError. Commits."""
        now, expires_at = clock.now(), expiry()
        columns: dict[str, Any] = {"next_at": expires_at, "lease_until": None if last else now + LOCK}
        if last and kept.offset == self.total_bytes:
            until = now + timedelta(seconds=settings().stage_lease_seconds)
            columns = {"state": "finishing", "next_at": until, "lease_until": until}
        ours = leases.write(
            Upload, self.upload_id, self.fence, Upload.state == "receiving",
            offset_bytes=kept.offset, parts=kept.marks, expires_at=expires_at, updated_at=now, **columns,
        )  # fmt: skip
        db.session.commit()
        if not ours:
            raise UploadGoneError("This upload was ended, or goes on in another request.")
        self.kept, self._saved_at = kept, clock.monotonic()

    def release(self) -> None:
        """Let go of the lock; what was kept stays as it is."""
        db.session.rollback()
        leases.write(Upload, self.upload_id, self.fence, Upload.state == "receiving", lease_until=None)
        db.session.commit()
