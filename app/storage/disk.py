"""This machine's disk: its refusals as errors of ours, so that they are no file's fault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from app.exceptions import ResourceNotFoundError, StorageError


@contextmanager
def disk_errors(key: str = "") -> Iterator[None]:
    """Turn the operating system's errors into ours; paths of this machine stay out of them."""
    try:
        yield
    except FileNotFoundError as error:
        if key:
            raise ResourceNotFoundError(resource_type="File", resource_id=key) from error
        raise StorageError(details={"reason": error.strerror}) from error
    except OSError as error:
        raise StorageError(
            f"The disk refused: {error.strerror}. Please try again later.", {"reason": error.strerror}
        ) from error


def write_all(descriptor: int, piece: bytes) -> None:
    """Write the whole piece, however little of it each call takes. Raises OSError."""
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
