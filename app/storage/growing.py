"""Files that grow over many requests, by many processes.

Whoever writes keeps an offset and marks, which say how many bytes are in the store for good and how to go on from
there. What was written after the last marks that were kept may be lost, and is never missed: it comes again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from app.exceptions import UploadGoneError

Marks = dict[str, Any]
SPACE_CHECK_BYTES = 64 * 1024**2  # how often a growing file looks at the free space


class Kept(NamedTuple):
    """How many bytes are in the store for good, and what it needs in order to go on from there."""

    offset: int
    marks: Marks


class Part(NamedTuple):
    """A part that somebody sent to the store directly; `size` in bytes."""

    number: int
    size: int
    etag: str


def lost(*, found: int, expected: int) -> UploadGoneError:
    """Return the error for a store that has fewer bytes of an upload, or others, than were kept."""
    return UploadGoneError(
        "The store no longer has all that was sent of this upload. Send the file again in another.",
        {"found_bytes": found, "expected_bytes": expected},
    )


class Growing(Protocol):
    """A file that is written on. `offset` counts what was taken in, also what is not kept yet."""

    @property
    def offset(self) -> int: ...

    def write(self, piece: bytes, /) -> None:
        """Take in the next bytes. Raises StorageError."""

    def keep(self, *, everything: bool) -> Kept:
        """Return what is in the store for good; with `everything` after bringing all that was written there.

        The caller saves it before the next call. Raises StorageError.
        """


Opened = AbstractContextManager[Growing]


def _opened(part: Path, *, offset: int) -> int:
    """Return a descriptor of the file, made anew if nothing was kept of it."""
    if offset == 0:
        return os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        return os.open(part, os.O_WRONLY)
    except FileNotFoundError:
        raise lost(found=0, expected=offset) from None


class GrowingFile:
    """A file in a folder that is written on at its end. Raises UploadGoneError when it is shorter than `offset`."""

    def __init__(
        self, part: Path, *, offset: int, check_space: Callable[[], None], sync: Callable[[], None]
    ) -> None:
        self._descriptor = _opened(part, offset=offset)
        self._check_space, self._sync_name = check_space, None if offset else sync
        self.offset, self._next_check = offset, offset + SPACE_CHECK_BYTES
        size = os.fstat(self._descriptor).st_size
        if size < offset:
            os.close(self._descriptor)
            raise lost(found=size, expected=offset)
        os.ftruncate(self._descriptor, offset)  # what came after the last marks may be torn
        os.lseek(self._descriptor, offset, os.SEEK_SET)

    def write(self, piece: bytes, /) -> None:
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.offset += len(piece)
        if self.offset >= self._next_check:
            self._check_space()
            self._next_check = self.offset + SPACE_CHECK_BYTES

    def keep(self, *, everything: bool) -> Kept:  # noqa: ARG002 - bytes on the disk are all the same
        os.fsync(self._descriptor)
        if self._sync_name:
            self._sync_name()
            self._sync_name = None
        return Kept(self.offset, {})

    def close(self) -> None:
        os.close(self._descriptor)
