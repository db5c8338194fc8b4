"""Where files live: a folder or an S3 bucket behind one interface.

`init_app` builds the store the settings name; services reach it by `get_storage()`.
"""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from app.config import Settings
from app.storage.base import FileSource, RangeReader, Storage, Stored, new_key
from app.storage.folder import FolderStorage

__all__ = [
    "FileSource",
    "FolderStorage",
    "RangeReader",
    "Storage",
    "Stored",
    "from_settings",
    "get_storage",
    "init_app",
    "new_key",
]


def init_app(app: Flask, settings: Settings) -> None:
    """Put the store at `app.extensions["storage"]`. Opens no connection yet."""
    app.extensions["storage"] = from_settings(settings)


def from_settings(settings: Settings) -> Storage:
    """Return the store the settings name."""
    if settings.storage_backend == "folder":
        return FolderStorage(settings)
    from app.storage.s3 import S3Storage  # boto3 costs 8 MB and 0.1 s in every process that has no use for it

    return S3Storage(settings)


def get_storage() -> Storage:
    """Return the store of the running application."""
    return cast(Storage, current_app.extensions["storage"])
