"""What a power cut leaves of SQLite's log: how far the kernel was told to keep it, and cutting it back to there.

Every child notes, beside the log, the lowest byte that was written since the log was last synced. The hooks sit
in SQLite's own VFS table, by ctypes, so that no compiler is needed: `xOpen` is wrapped, and each log that is
opened gets a copy of its methods with `xWrite` and `xSync` wrapped.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLEAN = (1 << 63) - 1  # nothing is written that is not synced
SQLITE_OPEN_WAL = 0x00080000
XOPEN = 40  # sqlite3_vfs.xOpen: after iVersion, szOsFile, mxPathname, pNext, zName, pAppData
XWRITE, XSYNC, METHODS = 24, 40, 19 * 8  # in sqlite3_io_methods, and its whole length up to version 3

_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
_Write = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_notes: dict[int, int] = {}  # address of an open sqlite3_file -> descriptor of its note
_kept: list[Any] = []  # what SQLite points at must not be collected


def note_of(database: Path) -> Path:
    return database.with_name(database.name + "-unsynced")


def watch() -> None:
    """Note from now on, in this process and its forks, what is written to logs and not synced."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.c_void_p
    vfs = library.sqlite3_vfs_find(None)
    if not vfs:
        raise RuntimeError("this Python's SQLite does not show its VFS")
    _wrap(vfs + XOPEN, _Open, _opening)


def _wrap(place: int, kind: Any, make: Callable[[Any], Callable[..., int]]) -> None:
    """Replace the function whose address lies at `place` by what `make` makes of it."""
    cell = ctypes.c_void_p.from_address(place)
    assert cell.value is not None
    mine = kind(make(kind(cell.value)))
    _kept.append(mine)
    cell.value = ctypes.cast(mine, ctypes.c_void_p).value


def _opening(original: Callable[..., int]) -> Callable[..., int]:
    def xopen(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        code = original(vfs, name, file, flags, out)  # SQLite keeps the name's address, so it must be its own
        if code == 0 and flags & SQLITE_OPEN_WAL and name:
            _hook(file, Path(os.fsdecode(ctypes.string_at(name)).removesuffix("-wal")))
        return code

    return xopen


def _hook(file: int, database: Path) -> None:
    if file in _notes:
        os.close(_notes[file])
    _notes[file] = os.open(note_of(database), os.O_RDWR | os.O_CREAT, 0o600)
    methods = ctypes.c_void_p.from_address(file)
    assert methods.value is not None
    copy = _copies.get(methods.value) or _copy(methods.value)
    methods.value = ctypes.addressof(copy)


_copies: dict[int, Any] = {}


def _copy(methods: int) -> Any:
    copy = ctypes.create_string_buffer(ctypes.string_at(methods, METHODS), METHODS)
    _copies[methods] = _copies[ctypes.addressof(copy)] = copy
    _wrap(ctypes.addressof(copy) + XWRITE, _Write, _writing)
    _wrap(ctypes.addressof(copy) + XSYNC, _Sync, _syncing)
    return copy


def _writing(original: Callable[..., int]) -> Callable[..., int]:
    def xwrite(file: int, data: int, length: int, offset: int) -> int:
        note = _notes[file]
        if offset < _read(note):
            os.pwrite(note, struct.pack("<q", offset), 0)
        return original(file, data, length, offset)

    return xwrite


def _syncing(original: Callable[..., int]) -> Callable[..., int]:
    def xsync(file: int, flags: int) -> int:
        code = original(file, flags)
        if code == 0:
            os.pwrite(_notes[file], struct.pack("<q", CLEAN), 0)
        return code

    return xsync


def _read(note: int) -> int:
    raw = os.pread(note, 8, 0)
    return struct.unpack("<q", raw)[0] if len(raw) == 8 else CLEAN


def cut(database: Path) -> int:
    """Take away what no sync had told the disk to keep, as a power cut may; return how many bytes that is.

    Nobody may have the database open.
    """
    log, note = Path(f"{database}-wal"), note_of(database)
    Path(f"{database}-shm").unlink(missing_ok=True)
    if not log.exists() or not note.exists():
        return 0
    descriptor = os.open(note, os.O_RDONLY)
    kept = _read(descriptor)
    os.close(descriptor)
    note.unlink()
    size = log.stat().st_size
    if kept >= size:
        return 0
    os.truncate(log, kept)
    return size - kept
