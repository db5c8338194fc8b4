"""A folder as the store: one machine, no service."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.config import Settings
from app.exceptions import StorageError
from app.storage.base import (
    READ_BYTES,
    Intake,
    Listed,
    RangeReader,
    Readable,
    Storage,
    Stored,
    checked,
    require_space,
    sync_folder,
)
from app.storage.disk import disk_errors, write_all
from app.storage.growing import SPACE_CHECK_BYTES, Growing, GrowingFile, Kept, lost


class FolderStorage(Storage):
    """Files below `DATA_DIR/files`. A file appears under its name only when it is complete and on disk."""

    backend = "folder"

    def __init__(self, settings: Settings) -> None:
        self._root = settings.storage_dir.absolute()
        self._keep_free = settings.min_free_bytes

    def put_stream(
        self,
        key: str,
        stream: Readable,
        *,
        max_bytes: int,
        expected_bytes: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Stored:
        target = self._path(key)
        part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        intake = Intake(stream, max_bytes=max_bytes, on_progress=on_progress)
        with disk_errors():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_space(self._root, wanted=expected_bytes or 0, keep_free=self._keep_free)
        try:
            self._write(part, intake)
            with disk_errors():
                _publish(part, target)
        except BaseException:
            self._remove(part)
            raise
        return intake.stored(key)

    def _write(self, part: Path, intake: Intake) -> None:
        next_check = SPACE_CHECK_BYTES
        with disk_errors():
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            while piece := intake.read(READ_BYTES):
                with disk_errors():
                    write_all(file.fileno(), piece)
                    if intake.size >= next_check:
                        require_space(self._root, wanted=0, keep_free=self._keep_free)
                        next_check += SPACE_CHECK_BYTES
            with disk_errors():
                os.fsync(file.fileno())
                _require_size(os.fstat(file.fileno()).st_size, expected=intake.size)

    @contextmanager
    def grow(
        self,
        key: str,
        kept: Kept,
        *,
        most_bytes: int,  # noqa: ARG002 - see S3
        expected_bytes: int | None = None,
    ) -> Iterator[Growing]:
        part, target = self._growing(key), self._path(key)
        if kept.offset:
            self._require_there(target)
        with disk_errors():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require(max((expected_bytes or 0) - kept.offset, 0))
            file = GrowingFile(
                part,
                offset=kept.offset,
                check_space=lambda: self._require(0),
                sync=lambda: _sync_folders(target),
            )
        try:
            yield _Translated(file)
        finally:
            file.close()

    def finish_growing(self, key: str, kept: Kept, *, sha256: str | None) -> None:  # noqa: ARG002 - see S3
        part, target = self._growing(key), self._path(key)
        self._require_there(target)
        with disk_errors():
            size = _size(part)
            if size is None and _size(target) == kept.offset:
                return  # a process that died after this was done
            if size is None or size < kept.offset:
                raise lost(found=size or 0, expected=kept.offset)
            os.truncate(part, kept.offset)
            _publish(part, target)

    def _require_there(self, target: Path) -> None:
        """Raise StorageError when not even the folder of its kind is there: a disk that is not mounted lost nothing."""
        if not target.parent.parent.is_dir():
            raise StorageError("The folder of the files is not there. Is its disk mounted?")

    def _growing(self, key: str) -> Path:
        target = self._path(key)
        return target.with_name(f".{target.name}.growing.part")

    def _require(self, wanted: int) -> None:
        require_space(self._root, wanted=wanted, keep_free=self._keep_free)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> RangeReader:
        with disk_errors(key):
            file = self._path(key).open("rb", buffering=0)
            left = max(os.fstat(file.fileno()).st_size - start, 0)
            file.seek(start)
        wanted = left if length is None else min(length, left)
        return RangeReader(file, length=wanted, close=file.close, error=StorageError)

    def size(self, key: str) -> int:
        with disk_errors(key):
            return self._path(key).stat().st_size

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        self._remove(self._path(key))

    def discard(self, key: str) -> None:
        target = self._path(key)
        for part in target.parent.glob(f".{target.name}.*.part"):
            self._remove(part)
        self._remove(target)

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        self.size(key)
        yield self._path(key)

    def presigned_get(self, key: str, *, seconds: int) -> str | None:  # noqa: ARG002 - a folder serves nothing
        return None

    def listing(self) -> Iterator[Listed]:
        with disk_errors():
            for kind in sorted(self._root.iterdir()) if self._root.is_dir() else ():
                if kind.is_dir():
                    yield from self._listing_of(kind)

    def _listing_of(self, kind: Path) -> Iterator[Listed]:
        for folder in os.scandir(kind):
            if not folder.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(folder):
                name, part = _named(entry.name)
                key = f"{kind.name}/{folder.name}/{name}"
                with suppress(FileNotFoundError, StorageError):  # gone meanwhile, or nothing we ever made
                    status = entry.stat(follow_symlinks=False)
                    yield Listed(
                        checked(key), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC), part
                    )

    def remove_listed(self, listed: Listed) -> None:
        path = self._path(listed.key)
        self._remove(path.with_name(listed.part) if listed.part else path)

    def check(self) -> dict[str, Any]:
        probe = self._root / f".probe-{secrets.token_hex(8)}"
        with disk_errors():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                probe.write_bytes(b"ok")
            finally:
                probe.unlink(missing_ok=True)
            status = os.statvfs(self._root)
        return {"backend": self.backend, "free_bytes": status.f_bavail * status.f_frsize}

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _remove(self, path: Path) -> None:
        with disk_errors():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # other files may be there, and that is fine
            path.parent.rmdir()


def _named(name: str) -> tuple[str, str]:
    """Return what a file is to be called, and what it is called now if it is only a part of that."""
    if name.startswith(".") and name.endswith(".part"):
        return name[1:].rsplit(".", 2)[0], name
    return name, ""


class _Translated:
    """A growing file whose errors are ours."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file

    @property
    def offset(self) -> int:
        return self._file.offset

    def write(self, piece: bytes, /) -> None:
        with disk_errors():
            self._file.write(piece)

    def keep(self, *, everything: bool) -> Kept:
        with disk_errors():
            return self._file.keep(everything=everything)


def _publish(part: Path, target: Path) -> None:
    part.replace(target)
    _sync_folders(target)


def _sync_folders(target: Path) -> None:
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        sync_folder(folder)


def _size(path: Path) -> int | None:
    """Return a file's size, None when it is clearly not there. Raises OSError when that cannot be told."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _require_size(found: int, *, expected: int) -> None:
    if found != expected:
        raise StorageError("A file was not stored completely.", {"found": found, "expected": expected})
