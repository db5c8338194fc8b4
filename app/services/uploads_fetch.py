"""Fetching the video of an import: by a job, on from where it stopped, whoever died meanwhile."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app import clock, warm_stop
from app.exceptions import (
    AppException,
    PayloadTooLargeError,
    StorageError,
    VideoProcessingError,
    VideoValidationError,
)
from app.extensions import db, key_ring, settings
from app.logging_config import get_logger
from app.media import SNIFF_BYTES, sniff
from app.models import Upload
from app.security import SealedValueError
from app.services import fetching, leases, storage_quota, uploads_ending
from app.services.fetching import Answer, FetchFailed
from app.services.uploads import Rewound
from app.services.uploads_url import sealed_for
from app.storage import Growing, Kept, get_storage
from app.storage.base import READ_BYTES, Readable

logger = get_logger(__name__)
TURN = 60.0  # seconds after which others go first, where the other server lets us go on later
KEEP_EVERY = 2.0  # seconds between two saved offsets
WINDOW, SLOWEST = 30.0, 10_000  # seconds, and the bytes a second that must come in each such stretch
MAX_TRIES = 8  # in a row without a single byte
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between tries
NOTHING = Kept(0, {})
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


class LeaseLost(Exception):  # noqa: N818 - reads as what happened
    """Somebody else does this import now, or it was ended."""


class Yielded(Exception):  # noqa: N818 - reads as what happened
    """This turn is over; the import goes on behind the others."""


@dataclass
class Import:
    """An import that is ours. `source`: host, validator, whether ranges work, tries in a row without a byte."""

    id: uuid.UUID
    fence: int
    backend: str
    key: str
    url: str = field(repr=False)
    kept: Kept
    total_bytes: int | None
    source: dict[str, Any]
    expires_at: datetime


def run(upload_id: uuid.UUID, fence: int) -> None:
    """Fetch a claimed import, as much of it as this turn allows. Losing the lease is a normal end."""
    try:
        work = _load(upload_id, fence)
    except SealedValueError as error:
        uploads_ending.fail(upload_id, fence, error)
        return
    if work is None or not leases.begin(Upload, upload_id, fence):
        return
    if work.expires_at <= clock.now():
        uploads_ending.fail(upload_id, fence, _failed(work, "it took longer than a day"))
        return
    _run(work)


def _run(work: Import) -> None:
    before = work.kept.offset
    try:
        with leases.renewed(Upload, work.id, work.fence), warm_stop.ends_work():
            sha256 = _fetch(work)
        uploads_ending.finish(work.id, work.fence, sha256=sha256)
    except LeaseLost:
        return
    except (Yielded, warm_stop.Stopped):
        _again(work, timedelta(0))
    except FetchFailed as trouble:
        _retry(work, trouble, progressed=work.kept.offset > before)
    except StorageError as error:
        logger.warning("an import waits for the store: %s", error.code)
        _again(work, uploads_ending.AGAIN_AFTER)
    except AppException as error:
        uploads_ending.fail(work.id, work.fence, error)


def give_up(upload_id: uuid.UUID, fence: int) -> None:
    """End an import that killed its workers. Commits."""
    reason = "Fetching this video ended its process several times. Upload the file instead."
    uploads_ending.fail(upload_id, fence, VideoProcessingError(reason))


def _load(upload_id: uuid.UUID, fence: int) -> Import | None:
    row = db.session.get(Upload, upload_id, populate_existing=True)
    found = None
    if row is not None and (row.fence, row.state) == (fence, "importing") and row.url_encrypted:
        url = key_ring().decrypt(row.url_encrypted, context=sealed_for(row.id))
        kept = Kept(row.offset_bytes, row.parts)
        found = Import(
            row.id, fence, row.backend, row.key, url, kept, row.total_bytes, dict(row.source), row.expires_at
        )
    db.session.rollback()
    return found


def _retry(work: Import, trouble: FetchFailed, *, progressed: bool) -> None:
    tries = 0 if progressed else int(work.source.get("tries", 0)) + 1
    if not trouble.again or tries >= MAX_TRIES:
        uploads_ending.fail(work.id, work.fence, _failed(work, trouble.reason))
        return
    logger.info("An import is tried again", extra={"upload_id": str(work.id), "reason": trouble.reason})
    work.source["tries"] = tries
    _again(work, timedelta(seconds=min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE)))


def _again(work: Import, pause: timedelta) -> None:
    """Let go of the import and have it claimed anew after a pause. Commits."""
    db.session.rollback()
    leases.write(
        Upload, work.id, work.fence, Upload.state == "importing",
        source=work.source, next_at=clock.now() + pause, **leases.FREE,
    )  # fmt: skip
    db.session.commit()


def _failed(work: Import, reason: str) -> VideoValidationError:
    host = work.source.get("host")
    return VideoValidationError(
        f"The video could not be fetched from {host}: {reason}. Check the address, or upload the file.",
        {"host": host, "reason": reason},
    )


# -- fetching


def _fetch(work: Import) -> str | None:
    """Fetch the rest and leave the upload `finishing`; return the SHA-256 if all came in this turn."""
    validator = work.source.get("validator")
    if work.kept.offset and not validator:
        work.kept = NOTHING  # nothing says that what comes now is the same file
    headers = {}
    if work.kept.offset:
        headers = {"Range": f"bytes={work.kept.offset}-", "If-Range": str(validator)}
    seconds = max((work.expires_at - clock.now()).total_seconds(), 1.0)
    with fetching.opened(work.url, headers=headers, seconds=seconds) as answer:
        _meet(work, answer)
        sha256 = hashlib.sha256() if work.kept.offset == 0 else None
        limit = settings().max_upload_bytes
        with get_storage(work.backend).grow(
            work.key, work.kept, most_bytes=limit, expected_bytes=work.total_bytes
        ) as growing:
            try:
                _pour(work, answer, growing, sha256, limit)
            except (FetchFailed, Yielded):
                _save(work, growing.keep(everything=True))
                raise
            _end(work, growing.keep(everything=True))
    return sha256.hexdigest() if sha256 else None


def _meet(work: Import, answer: Answer) -> None:
    """Understand the answer's head: where it begins, how long the file is, how to go on later."""
    if answer.status == 416:
        work.source.pop("validator", None)
        _save(work, NOTHING)
        raise FetchFailed("the file has changed meanwhile", again=True)
    fetching.check_status(answer)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchFailed("it answered with a packed file", again=False)
    start, total = 0, _length(answer)
    if answer.status == 206:
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != work.kept.offset:
            raise FetchFailed("it answered with another range than was asked for", again=False)
        start, total = work.kept.offset, None if match[2] == "*" else int(match[2])
    _check_total(total)
    work.total_bytes = total
    work.source = {"host": work.source.get("host"), "tries": work.source.get("tries", 0)} | _way_back(answer)
    _save(work, work.kept if start else NOTHING)  # before a byte is written: it must not lie beside old marks


def _length(answer: Answer) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _check_total(total: int | None) -> None:
    limit = settings().max_upload_bytes
    if total is not None and total > limit:
        raise PayloadTooLargeError(
            f"The file has {total} bytes; at most {limit} are allowed. Give a smaller one.",
            {"found": total, "allowed": limit},
        )


def _way_back(answer: Answer) -> dict[str, Any]:
    """Return what makes it safe to fetch the rest later: a strong ETag, or when it was changed last."""
    etag = answer.headers.get("ETag", "")
    validator = (
        etag if etag.startswith('"') and len(etag) < 300 else answer.headers.get("Last-Modified", "")[:100]
    )
    ranges = answer.status == 206 or "bytes" in answer.headers.get("Accept-Ranges", "").lower()
    return {"validator": validator, "ranges": ranges} if validator else {}


def _pour(work: Import, answer: Answer, growing: Growing, sha256: Any, limit: int) -> None:
    source, began, meter = Rewound(_Steady(answer)), clock.monotonic(), _meter(work)
    if growing.offset == 0:
        sniff(source.peek(SNIFF_BYTES))
    saved = began
    while piece := source.read(READ_BYTES):
        if growing.offset + len(piece) > limit:
            _check_total(growing.offset + len(piece))
        meter(growing.offset + len(piece))
        growing.write(piece)
        if sha256:
            sha256.update(piece)
        now = clock.monotonic()
        if now - saved > KEEP_EVERY:
            _save(work, growing.keep(everything=False))
            saved = now
        if now - began > TURN and work.source.get("ranges"):
            raise Yielded
    if work.total_bytes is not None and growing.offset != work.total_bytes:
        raise FetchFailed("it sent another number of bytes than it announced", again=True)


def _meter(work: Import) -> storage_quota.Meter:
    """Return what holds the workspace's room for the file. Raises StorageQuotaError when it cannot fit."""
    meter = storage_quota.Meter(db.session.get_one(Upload, work.id))
    db.session.rollback()
    if work.total_bytes is not None:
        meter(work.total_bytes)
    return meter


class _Steady:
    """Reads an answer, and ends one that drips: too few bytes in a stretch of waiting for them."""

    def __init__(self, answer: Readable) -> None:
        self._answer, self._waited, self._bytes = answer, 0.0, 0

    def read(self, size: int, /) -> bytes:
        """Return what has come, at most `size` bytes. Raises FetchFailed when it comes too slowly, or no more."""
        began = clock.monotonic()
        piece = self._answer.read(size)
        self._waited += clock.monotonic() - began
        self._bytes += len(piece)
        if piece and self._waited >= WINDOW:
            if self._bytes < SLOWEST * WINDOW:
                raise FetchFailed("it sends too slowly", again=True)
            self._waited, self._bytes = 0.0, 0
        return piece


def _save(work: Import, kept: Kept) -> None:
    """Keep how far it is; progress shows that it does not kill its workers. Raises LeaseLost. Commits."""
    _write(work, kept, attempts=0 if kept.offset > work.kept.offset else Upload.attempts)


def _end(work: Import, kept: Kept) -> None:
    _write(work, kept, state="finishing", total_bytes=kept.offset)


def _write(work: Import, kept: Kept, **columns: Any) -> None:
    ours = leases.write(
        Upload, work.id, work.fence, Upload.state == "importing",
        **({"total_bytes": work.total_bytes} | columns),
        offset_bytes=kept.offset, parts=kept.marks, source=work.source, updated_at=clock.now(),
    )  # fmt: skip
    db.session.commit()
    if not ours:
        raise LeaseLost
    work.kept = kept
