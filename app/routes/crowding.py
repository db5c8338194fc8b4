"""How many requests may bring a file at once: never so many that nobody is left to answer the others.

A request is read by the thread that answers it, so files that come slowly would take all threads of a process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app

from app.config import Settings
from app.exceptions import ServiceUnavailableError

RETRY_AFTER = 5  # seconds
_NAME = "upload_places"


def init_app(app: Flask, settings: Settings) -> None:
    """Set how many places there are in each process."""
    count = settings.upload_threads or max(settings.web_threads // 2, 1)
    app.extensions[_NAME] = threading.BoundedSemaphore(count)


@contextmanager
def place_for(body_limit: int | None) -> Iterator[None]:
    """Hold a place while a body without a limit is received. Raises ServiceUnavailableError when all are taken."""
    if body_limit is not None:
        yield
        return
    places: threading.BoundedSemaphore = current_app.extensions[_NAME]
    if not places.acquire(blocking=False):
        raise ServiceUnavailableError(
            "As many files are coming in as can be received at once. Send this one again shortly.",
            {"retry_after": RETRY_AFTER},
        )
    try:
        yield
    finally:
        places.release()
