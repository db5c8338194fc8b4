"""What must outlive a `kill -9`: documents in one SQLite file, held in memory and written through.

`synchronous=OFF` is enough here: the file survives the death of the process, not a power cut.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

_SCHEMA = """CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"""


class Document(Protocol):
    """A dataclass of JSON values whose fields all have defaults, except those every version had."""

    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=Document)


class Store:
    """One connection, one lock. Whatever changes entities holds `transaction()`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock and write everything or nothing; nests."""
        with self._lock:
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    self._db.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._db.execute("COMMIT")
            finally:
                self._depth -= 1

    def write(self, kind: str, key: str, document: dict[str, Any]) -> None:
        with self.transaction():
            body = json.dumps(document)
            self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, body))

    def delete(self, kind: str, key: str | None = None) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM documents WHERE kind = ? AND key = coalesce(?, key)", (kind, key))

    def read(self, kind: str) -> list[dict[str, Any]]:
        with self._lock:
            rows = self._db.execute("SELECT body FROM documents WHERE kind = ?", (kind,)).fetchall()
        return [json.loads(body) for (body,) in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()


class Collection(Generic[T]):
    """The entities of one kind, by key, in memory and in the store."""

    def __init__(self, store: Store, kind: str, cls: type[T]) -> None:
        self._store, self.kind = store, kind
        known = {spec.name for spec in fields(cls)}  # type: ignore[arg-type]  # every Document is a dataclass
        loaded = [cls(**{k: v for k, v in body.items() if k in known}) for body in store.read(kind)]
        self._items = {item.key: item for item in loaded}

    def get(self, key: str | None) -> T | None:
        return None if key is None else self._items.get(key)

    def put(self, item: T) -> T:
        with self._store.transaction():
            self._store.write(self.kind, item.key, vars(item))
            self._items[item.key] = item
        return item

    def pop(self, key: str) -> T | None:
        """Remove and return the entity, or return None: of two callers only one gets it."""
        with self._store.transaction():
            self._store.delete(self.kind, key)
            return self._items.pop(key, None)

    def values(self) -> list[T]:
        with self._store.transaction():
            return list(self._items.values())

    def clear(self) -> None:
        with self._store.transaction():
            self._store.delete(self.kind)
            self._items.clear()
