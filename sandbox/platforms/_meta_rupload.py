"""Meta's upload host: the rest of a file in one request, from the offset it has, kept if it breaks off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import IO, Any, cast

from flask import Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import ClientDisconnected

from sandbox.faults import drain
from sandbox.state import Sandbox, current
from sandbox.uploads import Piece, Upload

UNKNOWN_SIZE = -1  # of an upload before its first request says how long the file is


class UploadRefusedError(Exception):
    """A refusal as the upload host words it: `debug_info`, with HTTP 400."""

    def __init__(self, kind: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.kind, self.message, self.retriable = kind, message, retriable

    def answer(self) -> ResponseReturnValue:
        drain()
        g.error_code = self.kind
        facts = {"retriable": self.retriable, "type": self.kind, "message": self.message}
        return jsonify(debug_info=facts), 400


def new_upload(
    sandbox: Sandbox, *, platform: str, client_id: str, account: str, lifetime: float, **facts: Any
) -> Upload:
    """Return a new upload whose id is a number, as Meta's ids of videos and containers are; it is not stored."""
    upload_id = str(10**15 + secrets.randbelow(9 * 10**15))
    now = sandbox.now()
    known: dict[str, Any] = {"size": UNKNOWN_SIZE, "publish_id": upload_id, "secret": secrets.token_hex(16)}
    return Upload(
        id=upload_id,
        platform=platform,
        client_id=client_id,
        account=account,
        created_at=now,
        expires_at=now + lifetime,
        **known | facts,
    )


def receive(upload: Upload, *, on_complete: Callable[[Upload], None]) -> Response:
    """Take the bytes of this request; what came is kept, also when the client went away in the middle.

    Headers `offset` and `file_size` must be there: the offset must be what is stored, and the body the whole
    rest. `on_complete` is called in the transaction that completes the file, its hash in `details`. Raises
    UploadRefusedError.
    """
    offset, size = _header("offset"), _header("file_size")
    length = request.content_length
    if length is None:
        raise UploadRefusedError("PartialRequestError", "Content-Length is missing.")
    _check(upload, offset, size)
    wanted = min(length, size - offset, g.get("store_only", length))
    stream = cast(IO[bytes], _Interrupted(request.stream))
    piece = current().files.receive(upload.id, stream, start=offset, length=wanted)
    _keep(upload, piece, size, on_complete)
    if length != size - offset or not upload.is_complete():
        raise UploadRefusedError(
            "PartialRequestError", "The body is not the rest of the file.", retriable=True
        )
    return jsonify(success=True, message="Upload successful.")


class _Interrupted:
    """A body that ends where the client went away; werkzeug's server raises there."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (ClientDisconnected, OSError):
            return b""


def _check(upload: Upload, offset: int, size: int) -> None:
    if size <= 0 or (upload.size not in (UNKNOWN_SIZE, size)):
        raise UploadRefusedError("PartialRequestError", "file_size is not the size announced before.")
    if offset != upload.received or offset >= size:
        raise UploadRefusedError("OffsetInvalidError", f"Expected offset {upload.received}.", retriable=True)


def _keep(upload: Upload, piece: Piece, size: int, on_complete: Callable[[Upload], None]) -> None:
    """Add a piece if it is still the next one: of two equal ones the first counts."""
    sandbox = current()
    with sandbox.files.lock(upload.id):
        try:
            _check(upload, piece.start, size)
        except UploadRefusedError:
            sandbox.files.discard(piece)
            raise
        sandbox.files.append(upload.id, piece)
        with sandbox.store.transaction():
            upload.size, upload.received = size, piece.start + piece.length
            upload.content_type = "video/mp4"
            upload.details["sha256"] = piece.hasher.hexdigest()
            upload.details["touched_at"] = time.time()
            if upload.is_complete():
                on_complete(upload)
            sandbox.uploads.put(upload)
    if upload.is_complete():
        sandbox.files.finish(upload.id)


def _header(name: str) -> int:
    value = request.environ.get(f"HTTP_{name.upper()}", "")
    if not value.isdigit():
        raise UploadRefusedError("OffsetInvalidError", f"The header {name} must be a number.")
    return int(value)
