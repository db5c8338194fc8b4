"""Private folders below `DATA_DIR/tmp` that go away with the block that made them, or after its process was killed.

Whoever has one holds a lock on it, and the system lets go of a lock when its process ends: what is not locked is
nobody's. Where a disk knows no locks nothing is swept.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from app import clock
from app.storage.disk import disk_errors

PREFIXES = ("download-", "thumbnail-")
YOUNG = 60.0  # seconds; one that was just made may not be locked yet


@contextmanager
def private_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a folder that is gone afterwards, and clear away those of processes that died.

    `prefix` is one of PREFIXES. Raises StorageError when the disk refuses.
    """
    with disk_errors():
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(parent)
        private = tempfile.TemporaryDirectory(dir=parent, prefix=prefix)
    with private as name, _held(Path(name)):
        yield Path(name)


def sweep(parent: Path) -> None:
    """Remove the folders below `parent` that nobody holds any more."""
    for folder in _folders(parent):
        with suppress(OSError):  # somebody holds it, or it is gone by now
            if clock.now().timestamp() - folder.stat().st_mtime < YOUNG:
                continue
            with _held(folder, is_ours=False):
                shutil.rmtree(folder, ignore_errors=True)


def size(parent: Path, prefixes: Iterable[str] = PREFIXES) -> int:
    """Return how many bytes lie in the folders below `parent` that begin so."""
    taken = 0
    for folder in _folders(parent, prefixes):
        for path in folder.glob("*"):
            with suppress(FileNotFoundError):  # its owner is done with it meanwhile
                taken += path.stat().st_size
    return taken


def _folders(parent: Path, prefixes: Iterable[str] = PREFIXES) -> Iterator[Path]:
    for prefix in prefixes:
        yield from parent.glob(f"{prefix}*")


@contextmanager
def _held(folder: Path, *, is_ours: bool = True) -> Iterator[None]:
    """Hold the lock of a folder. Raises OSError for one that is not ours and that somebody holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError) if is_ours else nullcontext():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
