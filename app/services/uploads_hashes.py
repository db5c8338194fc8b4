"""Hashes of uploads whose bytes come in many requests."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

REMEMBERED = 64  # uploads
AHEAD = 8  # pieces that may wait to be hashed, 2 MiB


class Hashes:
    """SHA-256 of uploads under way, as far as this process has seen them: it cannot be kept anywhere else.

    Where it is not known the file is read once more when it is measured.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[uuid.UUID, tuple[int, _Hash]] = OrderedDict()

    def take(self, upload_id: uuid.UUID, offset: int) -> _Hash | None:
        """Return the hash of the first `offset` bytes, to be gone on with."""
        known, found = self._known.pop(upload_id, (0, hashlib.sha256()))
        return found if known == offset else None

    def put(self, upload_id: uuid.UUID, offset: int, found: _Hash | None) -> None:
        if found is not None:
            self._known[upload_id] = (offset, found)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


@contextmanager
def beside(found: _Hash | None) -> Iterator[Callable[[bytes], None]]:
    """Feed a hash in a thread of its own, so that reading and writing need not wait for it; None: feed nothing.

    At most AHEAD pieces wait. At the end of the block everything has been hashed.
    """
    if found is None:
        yield lambda _piece: None
        return
    pieces: Queue[bytes | None] = Queue(AHEAD)

    def feed() -> None:
        while (piece := pieces.get()) is not None:
            found.update(piece)

    thread = threading.Thread(target=feed, name="sha256", daemon=True)
    thread.start()
    try:
        yield pieces.put
    finally:
        pieces.put(None)
        thread.join()


hashes = Hashes()
