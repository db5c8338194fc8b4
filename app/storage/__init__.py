"""Where files live: a folder or an S3 bucket behind one interface.

`get_storage()` is the store that new files go to, as the settings say. A file that is there already is read by
its row's `backend`, with `get_storage(backend)`: the settings may have changed since, and `flask storage copy`
moves files while others are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast, get_args

from flask import Flask, current_app

from app.config import Settings
from app.exceptions import StorageError
from app.storage.base import FileSource, Listed, RangeReader, Storage, Stored, new_key
from app.storage.folder import FolderStorage
from app.storage.growing import Growing, Kept, Part

__all__ = [
    "BACKENDS",
    "Backend",
    "FileSource",
    "FolderStorage",
    "Growing",
    "Kept",
    "Listed",
    "Part",
    "RangeReader",
    "Storage",
    "Stored",
    "available",
    "from_settings",
    "get_storage",
    "init_app",
    "new_key",
]


Backend = Literal["folder", "s3"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def init_app(app: Flask, settings: Settings) -> None:
    """Put the stores at `app.extensions["stores"]`. Opens no connection yet."""
    stores = {settings.storage_backend: from_settings(settings)}
    for backend in BACKENDS:
        if backend not in stores and (backend == "folder" or settings.s3_bucket):
            stores[backend] = from_settings(settings, backend=backend)
    app.extensions["stores"] = stores  # the first is the one for new files


def from_settings(settings: Settings, *, backend: str | None = None) -> Storage:
    """Return a store; the one the settings name unless `backend` says another."""
    if (backend or settings.storage_backend) == "folder":
        return FolderStorage(settings)
    from app.storage.s3 import S3Storage  # boto3 costs 8 MB and 0.1 s in every process that has no use for it

    return S3Storage(settings)


def get_storage(backend: str | None = None) -> Storage:
    """Return the store that has files of `backend`, or the one new files go to.

    Raises StorageError when the settings no longer say how to reach it.
    """
    stores = cast(dict[str, Storage], current_app.extensions["stores"])
    found = stores.get(backend) if backend else next(iter(stores.values()))
    if found is None:
        raise StorageError(
            f"This file is in the store {backend!r}, which the settings no longer name. Set S3_BUCKET and the "
            "other S3_* settings again until `flask storage copy` has moved everything.",
            {"found": backend, "allowed": sorted(stores)},
        )
    return found


def available(first: str | None = None) -> Iterator[Storage]:
    """Yield every store the settings know, that of `first` before the others."""
    stores = cast(dict[str, Storage], current_app.extensions["stores"])
    if first in stores:
        yield stores[first]
    yield from (store for backend, store in stores.items() if backend != first)
