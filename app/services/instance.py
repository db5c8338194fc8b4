"""A restored or cloned database must not post again.

The database knows who it is (an id) and how far it has come (a generation, raised by each claim for
publishing). A copy of both lies beside it, outside the database: in DATA_DIR, or in the bucket when files are
in S3. The copy is written after the database's commit, so it is never ahead of a healthy database. A database
behind its copy is an older snapshot; one without a copy, or with another id, is a clone.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.exceptions import ResourceNotFoundError, StateConflictError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import Instance
from app.storage import available, get_storage
from app.storage.base import sync_folder

logger = get_logger(__name__)
# Two objects, written in turn: a failed write takes away only the one that was being written.
COPY_KEYS = tuple(f"instance/00000000-0000-0000-0000-000000000000/copy{turn}.json" for turn in (0, 1))
COPY_MAX_BYTES = 4096


@dataclass(frozen=True)
class Mark:
    """Who a database is and how far it has come."""

    id: str
    generation: int


def check() -> str | None:
    """Return why nothing may be published, or None when this database is the one its copy speaks of.

    The very first call on a new installation makes the row and the copy.
    """
    copy = _read_copy()  # before the database, which may go on meanwhile: the copy must never seem ahead
    mark = _mark()
    if mark is None:
        if copy is not None:
            return (
                "The database is new, but DATA_DIR remembers another one. Run `flask adopt` if that is meant."
            )
        mark = _create()
        _write_copy(mark)
        return None
    if copy is None and mark.generation == 0:
        _write_copy(mark)
        return None
    if copy is None or copy.id != mark.id:
        return "This database was copied here from another installation. Run `flask adopt` to go on with it."
    if copy.generation > mark.generation:
        return (
            f"This database is older (generation {mark.generation}) than what it has already published "
            f"(generation {copy.generation}): it was restored. Run `flask adopt` to go on with it."
        )
    return None


def advance() -> int:
    """Raise the generation in the caller's transaction and return it."""
    statement = update(Instance).values(generation=Instance.generation + 1).returning(Instance.generation)
    return db.session.scalars(statement).one()


def record(generation: int) -> None:
    """Write the copy, after the commit and before anything is published."""
    mark, copy = _mark(), _read_copy()
    assert mark is not None
    if copy is None or copy.generation < generation:  # another dispatcher may be ahead
        _write_copy(Mark(mark.id, generation))


def adopt() -> Mark:
    """Make the database and its copy agree: a new id, and a generation beyond both.

    services/adoption asks the platforms first; nobody else calls this.
    """
    copy, mark = _read_copy(), _mark() or _create()
    generation = max(mark.generation, copy.generation if copy else 0) + 1
    new = Mark(str(uuid.uuid4()), generation)
    db.session.execute(update(Instance).values(id=uuid.UUID(new.id), generation=generation))
    db.session.commit()
    _write_copy(new)
    return new


def carry(backend: str) -> None:
    """Write the copy to where it is looked for once files go to another store.

    Raises StateConflictError unless this database is the one that its copy, wherever it is now, speaks of.
    """
    mark = _mark() or _create()
    copies = [copy for store in available() if (copy := _read_copy(store.backend)) is not None]
    is_ours = any(copy.id == mark.id for copy in copies) or (not copies and mark.generation == 0)
    if not is_ours or any(copy.id == mark.id and copy.generation > mark.generation for copy in copies):
        raise StateConflictError(
            "This database is not the one that was used last with these files. Run `flask adopt` first."
        )
    _write_copy(mark, backend)


def _mark() -> Mark | None:
    row = db.session.execute(select(Instance.id, Instance.generation)).first()
    db.session.commit()
    return Mark(str(row.id), row.generation) if row else None


def _create() -> Mark:
    try:
        db.session.add(Instance())
        db.session.commit()
    except IntegrityError:  # another process made it at the same moment
        db.session.rollback()
    mark = _mark()
    assert mark is not None
    return mark


def _copy_path(backend: str | None) -> Path | None:
    in_bucket = (backend or settings().storage_backend) == "s3"
    return None if in_bucket else settings().data_dir / "instance.json"


def _read_copy(backend: str | None = None) -> Mark | None:
    path = _copy_path(backend)
    texts = [_read_file(path)] if path else [_read_object(key, backend) for key in COPY_KEYS]
    facts = [json.loads(text) for text in texts if text]
    marks = [Mark(str(fact["id"]), int(fact["generation"])) for fact in facts]
    return max(marks, key=lambda mark: mark.generation, default=None)


def _read_file(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _read_object(key: str, backend: str | None) -> str | None:
    try:
        with get_storage(backend).open_range(key) as reader:
            return reader.read(COPY_MAX_BYTES).decode()
    except ResourceNotFoundError:
        return None


def _write_copy(mark: Mark, backend: str | None = None) -> None:
    text = json.dumps({"id": mark.id, "generation": mark.generation}).encode()
    path = _copy_path(backend)
    if path is None:
        key = COPY_KEYS[mark.generation % len(COPY_KEYS)]
        get_storage(backend).put_stream(key, io.BytesIO(text), max_bytes=COPY_MAX_BYTES)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
