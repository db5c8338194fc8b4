"""Moving files from one store to another, file by file, while everything runs.

A file is copied under the same key, compared with its row by size and SHA-256, and then the row is pointed at the
new store if it still names the old one. The old file goes when no job that read the row before can still be running.
A row names the copy before its first byte is written, so whatever dies on the way leaves nothing for good, and
the next run begins with the files that are left.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import func, select, update

from app.exceptions import AppException, ResourceNotFoundError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Rendition, Upload, Video
from app.queue import TASKS
from app.services import instance, removals
from app.storage import get_storage

logger = get_logger(__name__)
BATCH = 200
# 13 hours: the longest job may begin to read at its end. Links look into both stores.
READERS_ARE_DONE = timedelta(seconds=max(task.timeout for task in TASKS.values()), hours=1)
COPY_TAKES = timedelta(days=1)
Outcome = Literal["moved", "gone", "busy", "missing", "damaged", "failed"]


@dataclass(frozen=True)
class Place:
    """Columns of a table that say where a file lies. `sha256` None: not known, then only the size is compared."""

    name: str
    model: Any
    backend: Any
    key: Any
    size: Any
    sha256: Any
    where: tuple[Any, ...]


PLACES: tuple[Place, ...] = (
    Place(
        "originals", Video, Video.backend, Video.key, Video.size_bytes, Video.sha256,
        (Video.state != "archived", Video.size_bytes > 0),
    ),
    Place(
        "thumbnails", Video, Video.thumbnail_backend, Video.thumbnail_key, Video.thumbnail_bytes, None,
        (Video.thumbnail_key.is_not(None),),
    ),
    Place(
        "renditions", Rendition, Rendition.backend, Rendition.key, Rendition.size_bytes, Rendition.sha256,
        (Rendition.key.is_not(None), Rendition.state == "ready"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """How much there is to move."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Moved:
    """What became of one file."""

    place: str
    key: str
    size: int
    outcome: Outcome


def work(to: str) -> Work:
    """Return how many files are not in the store `to` yet, and their bytes."""
    files = size = 0
    for place in PLACES:
        query = select(func.count(), func.coalesce(func.sum(place.size), 0))
        row = db.session.execute(query.where(*place.where, place.backend != to)).one()
        files, size = files + int(row[0]), size + int(row[1])
    db.session.rollback()
    return Work(files, size)


def copy(to: str, *, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[Moved]:
    """Move every file to the store `to`; yield what became of each. `on_bytes` hears of bytes as they go.

    Raises StorageError when there is no such store, StateConflictError when this database must be adopted first.
    """
    get_storage(to).check()
    instance.carry(to)
    for place in PLACES:
        last: uuid.UUID | None = None
        while rows := _batch(place, to, after=last):
            for row in rows:
                yield _move(place, row, to, on_bytes)
            last = rows[-1].id
    instance.carry(to)


def _batch(place: Place, to: str, *, after: uuid.UUID | None) -> list[Any]:
    sha256 = place.sha256 if place.sha256 is not None else place.key
    query = (
        select(
            place.model.id,
            place.model.workspace_id,
            place.backend.label("backend"),
            place.key.label("key"),
            place.size.label("size"),
            sha256.label("sha256"),
        )
        .where(*place.where, place.backend != to, *((place.model.id > after,) if after else ()))
        .order_by(place.model.id)
        .limit(BATCH)
    )
    rows = list(db.session.execute(query))
    db.session.rollback()
    return rows


def _move(place: Place, row: Any, to: str, on_bytes: Callable[[int], None]) -> Moved:
    try:
        outcome = _copied(place, row, to, on_bytes)
    except ResourceNotFoundError:
        outcome = "missing"
    except AppException as error:
        db.session.rollback()
        logger.warning("a file could not be moved: %s", error.message, extra={"key": row.key})
        outcome = "failed"
    return Moved(place.name, row.key, row.size or 0, outcome)


def _copied(place: Place, row: Any, to: str, on_bytes: Callable[[int], None]) -> Outcome:
    promise = _promise(row, to)
    if promise is None:
        return "busy"
    with get_storage(row.backend).open_range(row.key) as source:
        stored = get_storage(to).put_stream(
            row.key, source, max_bytes=len(source), expected_bytes=len(source), on_progress=_steps(on_bytes)
        )
    is_whole = row.size in (None, stored.size)
    if place.sha256 is not None and row.sha256:
        is_whole = is_whole and stored.sha256 == row.sha256
    if not is_whole:
        logger.error("a stored file is not what it was", extra={"key": row.key, "backend": row.backend})
        removals.hasten(promise)
        return "damaged"
    return _point(place, row, to, promise)


def _promise(row: Any, to: str) -> uuid.UUID | None:
    """Name the copy before it is written. None while an older file of this name is just being removed there.

    The removal of an earlier copy is called off: it would take the new one away.
    """
    if not removals.call_off(to, row.key):
        return None
    return removals.unless_kept(row.workspace_id, to, row.key, within=COPY_TAKES)


def _point(place: Place, row: Any, to: str, promise: uuid.UUID) -> Outcome:
    """Point the row at its copy, if it still names the file that was copied. Commits."""
    moved = db.session.execute(
        update(place.model)
        .where(place.model.id == row.id, place.backend == row.backend, place.key == row.key, *place.where)
        .values({place.backend: to})
        .execution_options(synchronize_session=False)
    )
    if not moved.rowcount or not removals.keep(promise):  # type: ignore[attr-defined]
        db.session.rollback()
        removals.hasten(promise)
        return "gone"
    removals.plan(row.workspace_id, [(row.backend, row.key)], after=READERS_ARE_DONE)
    db.session.commit()
    return "moved"


def _steps(on_bytes: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many until now" into "so many more"."""
    told = 0

    def tell(so_far: int) -> None:
        nonlocal told
        on_bytes(so_far - told)
        told = so_far

    return tell


def under_way(to: str) -> int:
    """Return how many uploads will end in another store than `to`: they stay where they began."""
    query = select(func.count()).where(Upload.kind != removals.KIND, Upload.backend != to)
    found = int(db.session.scalar(query) or 0)
    db.session.rollback()
    return found
