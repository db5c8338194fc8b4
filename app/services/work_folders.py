"""Private folders on this machine in which renditions are made, one for each claim."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import clock
from app.extensions import db, settings
from app.media import Room
from app.models import Rendition
from app.storage import private_folder
from app.storage.disk import disk_errors

PREFIX = "rendition-"


@contextmanager
def private(rendition_id: uuid.UUID, fence: int) -> Iterator[Path]:
    """Give a folder that is gone afterwards, and clear away those of workers that died on this machine.

    Raises StorageError when the disk has no room for it.
    """
    root = settings().data_dir / "tmp"
    sweep(root)
    private_folder.sweep(root)
    folder = root / f"{PREFIX}{rendition_id}.{fence}"
    with disk_errors():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def room() -> Room:
    """Return what of this machine's disk one more rendition may use beside those in the making."""
    root = settings().data_dir / "tmp"
    # Also copies of originals that lie in a bucket.
    taken = private_folder.size(root, (PREFIX, *private_folder.PREFIXES))
    return Room(free=settings().min_free_bytes, most=settings().work_budget_bytes - taken)


def sweep(root: Path) -> None:
    """Remove the folders below `root` in which nobody works any more: their claims are over."""
    for folder in root.glob(f"{PREFIX}*"):
        if not _is_alive(folder.name.removeprefix(PREFIX)):
            shutil.rmtree(folder, ignore_errors=True)
    db.session.rollback()


def _is_alive(name: str) -> bool:
    id_, _, fence = name.rpartition(".")
    row = db.session.get(Rendition, uuid.UUID(id_), populate_existing=True)
    if row is None or row.lease_until is None or row.state != "processing":
        return False
    return row.fence == int(fence) and row.lease_until > clock.now()
