"""Uploads whose parts go to the bucket directly, by addresses we sign: no byte of them passes through us.

What the bucket says it has is what counts, never what its sender claims: the parts are listed, their lengths are
those we asked for, and the file is read when it is measured.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import StateConflictError, StorageError, UploadGoneError, ValidationError
from app.extensions import db, settings
from app.models import Upload
from app.services import storage_quota, uploads_ending, uploads_shown
from app.services.idempotency import Remember, forget
from app.services.uploads_new import check_length, expiry, new_row
from app.services.uploads_shown import UploadView
from app.storage import Part, get_storage

LEAST_PART = 16 * 1024**2  # bytes; fewer parts than the 5 MiB a bucket would take
MAX_PARTS = 10_000  # S3 user guide, "Amazon S3 multipart upload limits"
SIGNED_FOR = 3600  # seconds
SHOWN_MISSING = 20


@dataclass(frozen=True)
class SignedPart:
    """Where to PUT a part, how many bytes it has, and until when."""

    part_number: int
    size_bytes: int
    url: str
    expires_at: datetime


@dataclass(frozen=True)
class Parts:
    """An upload's parts as they are to be: all of `part_bytes` but the last."""

    backend: str
    key: str
    store_id: str
    part_bytes: int
    total_bytes: int

    @property
    def count(self) -> int:
        return -(-self.total_bytes // self.part_bytes)

    def size(self, number: int) -> int:
        """Return how many bytes a part has."""
        return min(self.part_bytes, self.total_bytes - (number - 1) * self.part_bytes)


def create(
    principal: Principal, *, total_bytes: int, filename: str = "", remember: Remember = forget, **texts: str
) -> UploadView:
    """Begin an upload of so many bytes. Raises ValidationError where files are not kept in a bucket. Commits."""
    storage = get_storage()
    if not storage.takes_parts:
        problem = (
            "This installation keeps files in a folder. Use tus instead: Tus-Resumable: 1.0.0, Upload-Length."
        )
        raise ValidationError(details={"kind": [problem]})
    check_length(total_bytes, field="total_bytes")
    row = new_row(
        principal, kind="multipart", filename=filename, state="receiving", total_bytes=total_bytes, **texts
    )
    storage_quota.admit(row, wanted=total_bytes)
    db.session.add(row)
    db.session.commit()
    try:
        store_id = storage.begin_parts(row.key)
    except StorageError:
        db.session.execute(delete(Upload).where(Upload.id == row.id))
        db.session.commit()
        raise
    row.parts = {"upload_id": store_id, "part_bytes": max(LEAST_PART, -(-total_bytes // MAX_PARTS))}
    db.session.add(row)
    db.session.flush()
    made = uploads_shown.view(row)
    remember(made)
    db.session.commit()
    return made


def sign(principal: Principal, upload_id: uuid.UUID, numbers: Iterable[int]) -> list[SignedPart]:
    """Return where to send these parts. Raises ValidationError for a number there is none of. Commits."""
    parts_, wanted = _open(principal, upload_id), list(numbers)
    beyond = [number for number in wanted if number > parts_.count]
    if beyond:
        problem = f"There are {parts_.count} parts, found {beyond[0]}."
        raise ValidationError(details={"part_numbers": [problem]})
    expires_at = expiry()
    db.session.execute(
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "receiving")
        .values(expires_at=expires_at, next_at=expires_at)
    )
    db.session.commit()
    until = clock.now() + timedelta(seconds=SIGNED_FOR)
    return [SignedPart(number, parts_.size(number), _address(parts_, number), until) for number in wanted]


def _address(wanted: Parts, number: int) -> str:
    """Return where to send a part of exactly the length it is to have: the bucket refuses another."""
    storage, length = get_storage(wanted.backend), wanted.size(number)
    return storage.sign_part(wanted.key, wanted.store_id, number, length=length, seconds=SIGNED_FOR)


def parts(principal: Principal, upload_id: uuid.UUID) -> list[Part]:
    """Return the parts the bucket has."""
    wanted = _open(principal, upload_id)
    return get_storage(wanted.backend).list_parts(wanted.key, wanted.store_id)


def complete(principal: Principal, upload_id: uuid.UUID, *, remember: Remember = forget) -> UploadView:
    """Join the parts and make the video; done already is no error.

    Raises StateConflictError while parts are missing, VideoValidationError when it is no video.
    """
    row = uploads_shown.owned(principal, upload_id)
    if row.kind == "multipart" and row.state in ("finishing", "done"):
        db.session.rollback()
    else:
        _join(upload_id, _open(principal, upload_id))
    shown = uploads_shown.get(principal, upload_id)
    remember(shown)
    db.session.commit()
    return shown


def _join(upload_id: uuid.UUID, wanted: Parts) -> None:
    found = get_storage(wanted.backend).list_parts(wanted.key, wanted.store_id)
    _require_all(wanted, found)
    until = clock.now() + timedelta(seconds=settings().stage_lease_seconds)
    marks = {
        "upload_id": wanted.store_id,
        "part_bytes": wanted.part_bytes,
        "parts": [[part.etag, part.size, False] for part in found],
        "rest": None,
    }
    fence = db.session.scalar(
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "receiving")
        .values(
            state="finishing", fence=Upload.fence + 1, lease_until=until, next_at=until, parts=marks,
            offset_bytes=wanted.total_bytes,
        )
        .returning(Upload.fence)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    db.session.commit()
    if fence is not None:  # else somebody else completes it at this moment
        uploads_ending.finish(upload_id, fence)


def _require_all(wanted: Parts, found: list[Part]) -> None:
    sizes = {part.number: part.size for part in found}
    numbers = range(1, wanted.count + 1)
    missing = [number for number in numbers if number not in sizes]
    wrong = [number for number in sizes if number not in numbers or sizes[number] != wanted.size(number)]
    if missing or wrong:
        raise StateConflictError(
            f"{len(missing)} of {wanted.count} parts are missing and {len(wrong)} have another length than asked for. "
            "Send them, then complete it again.",
            {
                "missing": missing[:SHOWN_MISSING],
                "wrong": wrong[:SHOWN_MISSING],
                "part_bytes": wanted.part_bytes,
            },
        )


def _open(principal: Principal, upload_id: uuid.UUID) -> Parts:
    """Return the parts of an upload that takes some; no transaction is open afterwards."""
    row = uploads_shown.owned(principal, upload_id)
    kind, state, error = row.kind, row.state, row.error
    backend, key, known, total = row.backend, row.key, dict(row.parts), row.total_bytes
    db.session.rollback()
    if kind != "multipart":
        raise StateConflictError("This upload has no parts.", {"kind": kind, "allowed": "multipart"})
    if state == "failed":
        raise UploadGoneError(details={"state": state, "error": error})
    if state != "receiving" or "upload_id" not in known:
        raise StateConflictError("This upload takes no parts any more.", {"state": state})
    return Parts(backend, key, known["upload_id"], known["part_bytes"], total or 0)
