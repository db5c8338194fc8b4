"""Hashes of uploads whose bytes come in many requests."""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

REMEMBERED = 64  # uploads


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


hashes = Hashes()
