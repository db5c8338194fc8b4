"""What a store of files does, whatever it is made of."""

from __future__ import annotations

import abc
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, cast
from uuid import UUID

from app.exceptions import PayloadTooLargeError, StorageError
from app.storage.growing import Kept, Opened, Part

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_BYTES = 256 * 1024
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"[a-z]{{1,32}}/{_UUID}/[a-z0-9][a-z0-9_-]{{0,63}}(\.[a-z0-9]{{1,8}})?")


class Readable(Protocol):
    """What can be stored: `read(n)` returns at most n bytes, and nothing only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Stored:
    """A file that is in the store completely: its key, size in bytes and SHA-256 in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Listed:
    """Something in a store: its key, size in bytes, and when it was written last (UTC).

    `part` names what a cut-off upload of this key has left: a temporary file, an unfinished upload; "" for a file.
    """

    key: str
    size: int
    written_at: datetime
    part: str = ""


def new_key(kind: str, owner: UUID, name: str) -> str:
    """Return `kind/<uuid>/name`. Raises StorageError when that is not a key; no user input belongs in it."""
    return checked(f"{kind}/{owner}/{name}")


def checked(key: str) -> str:
    """Return the key, or raise StorageError: what we did not make cannot leave the store's root."""
    if not _KEY.fullmatch(key):
        raise StorageError("This is not the name of a stored file.")
    return key


def is_key(key: str) -> bool:
    """Is this the name of a file that we made?"""
    return _KEY.fullmatch(key) is not None


class Storage(abc.ABC):
    """A store. Keys come from `new_key`; files are written once, whole or not at all."""

    backend: ClassVar[str]
    takes_parts: ClassVar[bool] = False  # may others send parts of a file to the store directly?

    @abc.abstractmethod
    def put_stream(
        self,
        key: str,
        stream: Readable,
        *,
        max_bytes: int,
        expected_bytes: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Stored:
        """Store all of `stream`, never holding more than one buffer of it, and leave nothing on failure.

        `expected_bytes` only lets a full disk be seen before the first byte. `on_progress` gets the bytes
        so far; what it or the stream raises ends the upload and passes through. Raises PayloadTooLargeError
        above `max_bytes`, StorageError when the store fails.
        """

    @abc.abstractmethod
    def grow(self, key: str, kept: Kept, *, most_bytes: int, expected_bytes: int | None = None) -> Opened:
        """Open a file to be written on after what was kept of it; at its end it has `most_bytes` or fewer.

        `expected_bytes` only lets a full disk be seen before the first byte. One writer at a time, and the caller
        sees to that. The file is there under its key once `finish_growing` is done. Raises UploadGoneError when the
        store has not what was kept.
        """

    @abc.abstractmethod
    def finish_growing(self, key: str, kept: Kept, *, sha256: str | None) -> None:
        """Make a file that is written completely appear under its key; repeating it is no error.

        `sha256` is compared where the store itself does not prove that it has these bytes. Raises StorageError, or
        UploadGoneError when the store has not what was kept.
        """

    @abc.abstractmethod
    def open_range(self, key: str, start: int = 0, length: int | None = None) -> RangeReader:
        """Open `length` bytes from `start` (default: the rest). Raises ResourceNotFoundError."""

    @abc.abstractmethod
    def size(self, key: str) -> int:
        """Return the size in bytes. Raises ResourceNotFoundError."""

    @abc.abstractmethod
    def exists(self, key: str) -> bool:
        """Is there a complete file?"""

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove the file; no error when there is none."""

    @abc.abstractmethod
    def discard(self, key: str) -> None:
        """Remove the file and whatever an upload of it, cut off at any moment, has left."""

    @abc.abstractmethod
    def local_path(self, key: str) -> AbstractContextManager[Path]:
        """Give the file as a path on this machine, not to be changed, as long as the context lasts."""

    @abc.abstractmethod
    def presigned_get(self, key: str, *, seconds: int) -> str | None:
        """Return an address the store itself serves, or None when it has no server."""

    @abc.abstractmethod
    def listing(self) -> Iterator[Listed]:
        """Yield every file, and what cut-off uploads have left, in no order; never holds the whole list."""

    @abc.abstractmethod
    def remove_listed(self, listed: Listed) -> None:
        """Remove what a listing has shown; no error when there is none."""

    @abc.abstractmethod
    def check(self) -> dict[str, Any]:
        """Return facts for the health page. Raises StorageError when the store cannot be used."""

    def begin_parts(self, key: str) -> str:
        """Begin a file whose parts come to the store directly; return what the store calls it."""
        raise NotImplementedError

    def sign_part(self, key: str, upload_id: str, number: int, *, length: int, seconds: int) -> str:
        """Return an address to PUT the part with this number, of `length` bytes and no other, to."""
        raise NotImplementedError

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return the parts that have arrived, by number."""
        raise NotImplementedError

    def put_file(self, key: str, path: Path) -> Stored:
        """Store a local file that we made."""
        size = path.stat().st_size
        with path.open("rb") as stream:
            return self.put_stream(key, stream, max_bytes=size, expected_bytes=size)

    def iter_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes in pieces and close the file when done or dropped."""
        with self.open_range(key, start, length) as reader:
            while piece := reader.read(READ_BYTES):
                yield piece


class RangeReader(io.BufferedIOBase):
    """Bytes of a stored file with a known length; a source that ends early is an error, never a short file.

    `len()` and `tell()` are what HTTP clients ask in order to send a Content-Length.
    """

    def __init__(
        self, source: Readable, *, length: int, close: Callable[[], None], error: type[StorageError]
    ) -> None:
        self._source, self._length, self._close, self._error = source, length, close, error
        self._position = 0

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes (all that is left when negative). Raises StorageError when cut off."""
        left = self._length - self._position
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        wanted = min(size, left)
        piece = self._source.read(wanted) if wanted else b""
        if wanted and not piece:
            facts = {"expected_bytes": self._length, "found_bytes": self._position}
            raise self._error("A stored file is shorter than it was.", facts)
        self._position += len(piece)
        return piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()


@dataclass(frozen=True)
class FileSource:
    """A stored file as platforms upload it."""

    storage: Storage
    key: str
    size: int
    content_type: str

    def open(self, start: int, length: int) -> BinaryIO:
        """Stream `length` bytes from `start`."""
        return cast(BinaryIO, self.storage.open_range(self.key, start, length))


class Intake:
    """Reads a stream once: counts it, hashes it, holds it to its limit and reports progress."""

    def __init__(
        self, stream: Readable, *, max_bytes: int, on_progress: Callable[[int], None] | None
    ) -> None:
        self._stream, self._max, self._on_progress = stream, max_bytes, on_progress
        self._sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int = READ_BYTES) -> bytes:
        """Return the next piece. Raises PayloadTooLargeError as soon as there are too many bytes."""
        piece = self._stream.read(size)
        self.size += len(piece)
        if self.size > self._max:
            raise PayloadTooLargeError(
                f"The file is larger than the {self._max} bytes allowed. Send a smaller one.",
                {"found": f"more than {self._max}", "allowed": self._max},
            )
        self._sha256.update(piece)
        if piece and self._on_progress:
            self._on_progress(self.size)
        return piece

    def stored(self, key: str) -> Stored:
        """Return what was read as the file it became."""
        return Stored(key, self.size, self._sha256.hexdigest())


def require_space(folder: Path, *, wanted: int, keep_free: int) -> None:
    """Raise StorageError unless `wanted` bytes fit and `keep_free` stay free on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if free - wanted < keep_free:
        raise StorageError(
            "There is not enough free disk space for this file. Free some space or ask your administrator.",
            {"free_bytes": free, "needed_bytes": wanted + keep_free},
        )


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
