"""Files on their way in, piece by piece, streamed to disk and hashed as they come."""

from __future__ import annotations

import hashlib
import shutil
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 1 << 20


@dataclass
class Upload:
    """One announced file and what became of it. Sizes are bytes, times seconds of the virtual clock.

    `details` is the platform's own: caption, privacy and the like. `spent` names the one-shot markers that
    have struck.
    """

    id: str
    platform: str
    publish_id: str
    secret: str
    client_id: str
    account: str
    size: int
    created_at: float
    expires_at: float
    chunk_size: int = 0
    chunk_count: int = 1
    content_type: str = ""
    received: int = 0
    committed_at: float | None = None
    processing_seconds: float = 0.0
    moderation_seconds: float = 0.0
    fail_reason: str = ""
    post_ids: list[str] = field(default_factory=list)
    markers: dict[str, str] = field(default_factory=dict)
    spent: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.id

    def is_complete(self) -> bool:
        return self.received == self.size

    def chunk_end(self, start: int) -> int:
        """Return where the chunk that holds byte `start` ends (exclusive); the last takes the remainder."""
        index = start // self.chunk_size
        return self.size if index >= self.chunk_count - 1 else (index + 1) * self.chunk_size


@dataclass
class Piece:
    """A received stretch of a file in a file of its own, with the hash of the whole file up to its end."""

    path: Path
    start: int
    length: int
    hasher: _Hash


class UploadFiles:
    """The folder of stored bytes. A piece becomes part of its file only by `append`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)  # pieces of a process that was killed
        self._incoming.mkdir(parents=True)
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._hashers: dict[str, tuple[int, _Hash]] = {}

    def path(self, upload_id: str) -> Path:
        """Return where an upload's bytes are; ids are made by us, anything else raises ValueError."""
        if not upload_id.isalnum():
            raise ValueError("not an upload id")
        return self._root / upload_id

    def lock(self, upload_id: str) -> threading.Lock:
        """Return the lock to hold from the look at `received` until it has been written."""
        with self._guard:
            return self._locks.setdefault(upload_id, threading.Lock())

    def receive(self, upload_id: str, stream: IO[bytes], *, start: int, length: int) -> Piece:
        """Write up to `length` bytes of the stream to a piece; shorter if the client went away."""
        path = self._incoming / uuid.uuid4().hex
        hasher = self._hasher(upload_id, start).copy()
        got = 0
        with path.open("wb") as sink:
            while got < length and (block := stream.read(min(_BLOCK, length - got))):
                sink.write(block)
                hasher.update(block)
                got += len(block)
        return Piece(path, start, got, hasher)

    def append(self, upload_id: str, piece: Piece) -> None:
        """Make a piece the continuation of its file. The caller holds the upload's lock."""
        target = self.path(upload_id)
        if piece.start == 0:
            piece.path.replace(target)
        else:
            with target.open("r+b") as sink, piece.path.open("rb") as source:
                sink.truncate(piece.start)  # a kill may have left more than was counted
                sink.seek(piece.start)
                shutil.copyfileobj(source, sink, _BLOCK)
            piece.path.unlink()
        with self._guard:
            self._hashers[upload_id] = (piece.start + piece.length, piece.hasher)

    def discard(self, piece: Piece) -> None:
        piece.path.unlink(missing_ok=True)

    def finish(self, upload_id: str) -> None:
        """Forget what only an unfinished upload needs."""
        with self._guard:
            self._locks.pop(upload_id, None)
            self._hashers.pop(upload_id, None)

    def clear(self) -> None:
        with self._guard:
            self._locks.clear()
            self._hashers.clear()
            for path in self._root.iterdir():
                if path.is_file():
                    path.unlink()

    def _hasher(self, upload_id: str, start: int) -> _Hash:
        if start == 0:
            return hashlib.sha256()
        with self._guard:
            offset, hasher = self._hashers.get(upload_id, (0, hashlib.sha256()))
        return hasher if offset == start else self._rehash(upload_id, start)

    def _rehash(self, upload_id: str, length: int) -> _Hash:
        """Hash the stored bytes again: after a restart the running hash is gone."""
        hasher = hashlib.sha256()
        with self.path(upload_id).open("rb") as source:
            while length and (block := source.read(min(_BLOCK, length))):
                hasher.update(block)
                length -= len(block)
        return hasher
