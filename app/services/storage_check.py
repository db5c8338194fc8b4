"""Files without rows, and rows without files, in every store the settings name.

Nothing is held but a batch at a time. What is younger than an hour is passed over: it may be on its way to its row,
and what a row names is read after the listing, never before. Nothing is removed or marked unless it is asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Select, select, tuple_, update

from app import clock
from app.exceptions import ResourceNotFoundError
from app.extensions import db
from app.models import Rendition, Upload, Video
from app.services import renditions
from app.services.copying import PLACES, Place
from app.storage import Listed, Storage, available, get_storage

BATCH = 500
YOUNG = timedelta(hours=1)
Kind = Literal["orphan", "leftover", "missing", "short"]


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong. `row`: the table and id of a row without its file."""

    kind: Kind
    backend: str
    key: str
    size: int
    row: tuple[str, uuid.UUID] | None = None
    listed: Listed | None = None


def examine() -> Iterator[Trouble]:
    """Yield what is wrong, store by store, then row by row. Raises StorageError when a store is away."""
    for store in available():
        yield from orphans(store)
    for place in PLACES:
        yield from rows_without_files(place)


# -- files without rows


def orphans(store: Storage) -> Iterator[Trouble]:
    """Yield files no row names, and what uploads that ended long ago have left."""
    old = (listed for listed in store.listing() if _is_ours(listed))
    while batch := list(islice(old, BATCH)):
        named = _named(store.backend, {listed.key for listed in batch})
        for listed in batch:
            if listed.key not in named or (listed.part and not _is_under_way(store.backend, listed.key)):
                kind: Kind = "leftover" if listed.part else "orphan"
                yield Trouble(kind, store.backend, listed.key, listed.size, listed=listed)


def _is_ours(listed: Listed) -> bool:
    """Is it old enough to be judged, and not the mark of the instance, which no row names?"""
    return listed.written_at < clock.now() - YOUNG and not listed.key.startswith("instance/")


def _named(backend: str, keys: set[str]) -> set[str]:
    """Return which of these keys some row names, in this store."""
    found: set[str] = set()
    pairs = [(backend, key) for key in sorted(keys)]
    columns: Sequence[tuple[Any, Any]] = (
        (Video.backend, Video.key),
        (Video.thumbnail_backend, Video.thumbnail_key),
        (Rendition.backend, Rendition.key),
        (Upload.backend, Upload.key),
    )
    for where, key in columns:
        query = select(key).where(tuple_(where, key).in_(pairs))
        if key is Video.key:
            query = query.where(Video.state != "archived")
        found |= set(db.session.scalars(query))
    db.session.rollback()
    return found


def _is_under_way(backend: str, key: str) -> bool:
    query = select(Upload.id).where(Upload.backend == backend, Upload.key == key).limit(1)
    found = db.session.scalar(query) is not None
    db.session.rollback()
    return found


# -- rows without files


def rows_without_files(place: Place) -> Iterator[Trouble]:
    """Yield rows whose file is not there, or has another size."""
    last: uuid.UUID | None = None
    while rows := _batch(place, after=last):
        for row in rows:
            trouble = _looked_at(place, row)
            if trouble is not None and _still_names(place, row):
                yield trouble
        last = rows[-1].id


def _batch(place: Place, *, after: uuid.UUID | None) -> list[Any]:
    later = (place.model.id > after,) if after else ()
    return _rows(_named_files(place).where(*later).order_by(place.model.id).limit(BATCH))


def _named_files(place: Place) -> Select[*tuple[Any, ...]]:
    """Return the query of the rows that name a file there: id, backend, key, size."""
    columns = (place.backend.label("backend"), place.key.label("key"), place.size.label("size"))
    return select(place.model.id, *columns).where(*place.where)


def _rows(query: Select[*tuple[Any, ...]]) -> list[Any]:
    rows = list(db.session.execute(query))
    db.session.rollback()
    return rows


def _looked_at(place: Place, row: Any) -> Trouble | None:
    who = (place.name, row.id)
    try:
        found = get_storage(row.backend).size(row.key)
    except ResourceNotFoundError:
        return Trouble("missing", row.backend, row.key, row.size or 0, row=who)
    if row.size is not None and found != row.size:
        return Trouble("short", row.backend, row.key, found, row=who)
    return None


def _still_names(place: Place, row: Any) -> bool:
    """Ask again: the file may have been moved, replaced or let go of while we looked."""
    query = select(place.model.id).where(
        place.model.id == row.id, place.backend == row.backend, place.key == row.key, *place.where
    )
    found = db.session.scalar(query) is not None
    db.session.rollback()
    return found


def newest_without_files(*, limit: int = 20) -> list[Trouble]:
    """Look at the newest rows only, as a light check."""
    found = []
    for place in PLACES:
        rows = _rows(_named_files(place).order_by(place.model.id.desc()).limit(limit))
        found += [trouble for row in rows if (trouble := _looked_at(place, row)) and _still_names(place, row)]
    return found


# -- mending


def repair(trouble: Trouble) -> str:
    """Remove a file no row names, or let a row go of a file that is not there; return what was done. Commits."""
    if trouble.listed is not None:
        get_storage(trouble.backend).remove_listed(trouble.listed)
        return "removed"
    if trouble.row is None or trouble.kind == "short":
        return "left: bring the file back from a backup"
    return _MENDED[trouble.row[0]](trouble.row[1], trouble)


def _mend_original(_video_id: uuid.UUID, _trouble: Trouble) -> str:
    return "left: bring the file back from a backup, or archive or delete the video"


def _mend_thumbnail(video_id: uuid.UUID, trouble: Trouble) -> str:
    """A new one is made where the video is there."""
    db.session.execute(
        update(Video)
        .where(Video.id == video_id, Video.thumbnail_key == trouble.key, Video.state != "archived")
        .values(thumbnail_key=None, thumbnail_backend=None, thumbnail_bytes=None, thumbnail_at=None)
        .execution_options(synchronize_session=False)
    )
    wanted = update(Video).where(Video.id == video_id, Video.thumbnail_key.is_(None), Video.state == "ready")
    db.session.execute(
        wanted.values(thumbnail_wanted=-1.0, next_at=clock.now()).execution_options(synchronize_session=False)
    )
    db.session.commit()
    return "a new thumbnail is made"


def _mend_rendition(rendition_id: uuid.UUID, trouble: Trouble) -> str:
    """It is made anew at once where a post waits with it: nothing else would begin it for that post."""
    its = (Rendition.id == rendition_id, Rendition.key == trouble.key, Rendition.state == "ready")
    if renditions.lock_waiting(rendition_id) and db.session.scalar(select(Rendition.id).where(*its)):
        renditions.make_again(rendition_id)
        return "made anew for the posts that wait for it"
    db.session.execute(
        update(Rendition)
        .where(*its)
        .values(state="removed", key=None, fence=Rendition.fence + 1)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
    return "made anew when a post needs it"


_MENDED = {
    "originals": _mend_original,
    "thumbnails": _mend_thumbnail,
    "renditions": _mend_rendition,
}
