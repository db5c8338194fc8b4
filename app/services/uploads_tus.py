"""Uploads in pieces, of any size, by any process: what tus (https://tus.io, 1.0.0) needs.

The offset in the row counts what is in the store for good. Whoever sends holds a lock, a lease of a few seconds
which every saved offset renews; each write names its fence, so a sender that was believed dead changes nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.principal import Principal
from app.exceptions import AppException, ChecksumMismatchError, UploadGoneError, VideoValidationError
from app.extensions import db
from app.media import SNIFF_BYTES, sniff
from app.services import storage_quota, uploads_ending, uploads_shown
from app.services.idempotency import Remember, forget
from app.services.uploads import Rewound
from app.services.uploads_hashes import beside, hashes
from app.services.uploads_lock import Lock, take
from app.services.uploads_new import check_length, new_row
from app.services.uploads_shown import UploadView
from app.storage import Growing, get_storage
from app.storage.base import READ_BYTES, Readable

KEEP_EVERY = 2.0  # seconds between two saved offsets of one request
SAFE_FOR = 3.0  # seconds after a save in which nobody else can have taken the lock
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")


@dataclass(frozen=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes


# -- beginning


def create(
    principal: Principal,
    *,
    total_bytes: int,
    filename: str = "",
    title: str = "",
    description: str = "",
    remember: Remember = forget,
) -> UploadView:
    """Begin an upload of so many bytes. Raises PayloadTooLargeError, StorageQuotaError, ValidationError."""
    check_length(total_bytes)
    row = new_row(
        principal,
        kind="tus",
        state="receiving",
        total_bytes=total_bytes,
        filename=filename,
        title=title,
        description=description,
    )
    storage_quota.admit(row, wanted=total_bytes)
    db.session.add(row)
    db.session.flush()
    made = uploads_shown.view(row)
    remember(made)
    db.session.commit()
    return made


# -- going on


def append(
    principal: Principal,
    upload_id: uuid.UUID,
    stream: Readable,
    *,
    offset: int,
    length: int | None,
    checksum: Checksum | None = None,
) -> UploadView:
    """Add the bytes of a stream at `offset`; the last of them make the video.

    What came is kept when the sender goes away, unless there is a checksum: then all of it counts or nothing.
    Raises StateConflictError (another offset), UploadLockedError, UploadGoneError, PayloadTooLargeError,
    ChecksumMismatchError, VideoValidationError, StorageError, and whatever the sender's going away raises.
    """
    lock = take(principal, upload_id, offset=offset)
    if lock is not None:
        try:
            lock.check_length(length)
            sha256 = _receive(lock, stream, checksum)
        except UploadGoneError as error:  # the store lost what was sent, or the lock is somebody else's
            uploads_ending.fail(upload_id, lock.fence, error)
            raise
        except AppException:
            lock.release()
            raise
        if lock.kept.offset == lock.total_bytes:
            uploads_ending.finish(upload_id, lock.fence, sha256=sha256)
    return uploads_shown.get(principal, upload_id)


def _receive(lock: Lock, stream: Readable, checksum: Checksum | None) -> str | None:
    """Write on; return the SHA-256 of the whole file if this process has seen all of it."""
    source = Rewound(stream)
    sha256 = hashes.take(lock.upload_id, lock.kept.offset)
    total = lock.total_bytes
    with get_storage(lock.backend).grow(
        lock.key, lock.kept, most_bytes=total, expected_bytes=total
    ) as growing:
        try:
            if lock.kept.offset == 0 and checksum is None:
                _look(lock, source.peek(SNIFF_BYTES))
            with beside(sha256) as hashed:
                _pour(source, growing, lock, hashed, checksum)
        except AppException:
            raise
        except BaseException:  # the sender went away
            kept = lock.kept if checksum else growing.keep(everything=True)
            lock.save(kept, last=True)
            if checksum is None:
                hashes.put(lock.upload_id, growing.offset, sha256)
            raise
        lock.save(growing.keep(everything=True), last=True)
    if lock.kept.offset < lock.total_bytes:
        hashes.put(lock.upload_id, lock.kept.offset, sha256)
    return sha256.hexdigest() if sha256 else None


def _look(lock: Lock, head: bytes) -> None:
    """End the upload at once if its first bytes are not those of a video. Raises VideoValidationError."""
    if len(head) < min(SNIFF_BYTES, lock.total_bytes):
        return  # too few to tell; it is looked at once more at the end
    try:
        sniff(head)
    except VideoValidationError as error:
        uploads_ending.fail(lock.upload_id, lock.fence, error)
        raise


def _pour(
    source: Readable,
    growing: Growing,
    lock: Lock,
    hashed: Callable[[bytes], None],
    checksum: Checksum | None,
) -> None:
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
    while piece := source.read(READ_BYTES):
        if growing.offset + len(piece) > lock.total_bytes:
            lock.check_length(growing.offset + len(piece) - lock.kept.offset)
        if lock.age > SAFE_FOR:
            lock.save(lock.kept)  # the sender paused: somebody else may write by now
        growing.write(piece)
        hashed(piece)
        if digest:
            digest.update(piece)
        if lock.age > KEEP_EVERY:
            lock.save(lock.kept if checksum else growing.keep(everything=False))
    if checksum and digest and digest.digest() != checksum.digest:
        raise ChecksumMismatchError(details={"algorithm": checksum.algorithm, "offset": lock.kept.offset})
