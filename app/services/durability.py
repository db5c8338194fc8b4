"""Whether the database keeps what it commits: a forgotten intent to publish is a post made twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from app.extensions import db, settings

POSTGRES_SAFE = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "local", "remote_write", "remote_apply"},
}
SHARED_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}  # SQLite's locks do not hold there
LOCAL_DISK = "Put the database (DATA_DIR) on a local disk, or use PostgreSQL by DATABASE_URL."


@dataclass(frozen=True)
class Fault:
    """One way in which commits may be lost, and what mends it."""

    message: str
    remedy: str


def faults() -> list[Fault]:
    """Return every such fault of the database in use. Raises SQLAlchemyError when it is away."""
    return list(_sqlite() if settings().is_sqlite else _postgres())


def _sqlite() -> Iterator[Fault]:
    with db.engine.connect() as connection:
        journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
    if journal != "wal" or synchronous < 2:  # 2 is FULL, 3 EXTRA
        found = f"journal_mode={journal}, synchronous={synchronous}"
        yield Fault(f"SQLite may lose commits: {found}.", LOCAL_DISK)
    kind = _file_system(Path(db.engine.url.database or ".").resolve())
    if kind in SHARED_FILE_SYSTEMS:
        yield Fault(f"SQLite lies on {kind}, where its locks do not hold.", LOCAL_DISK)


def _postgres() -> Iterator[Fault]:
    with db.engine.connect() as connection:
        for name, safe in POSTGRES_SAFE.items():
            value = str(connection.execute(text(f"SHOW {name}")).scalar_one())
            if value not in safe:
                remedy = f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"
                yield Fault(f"PostgreSQL may lose commits: {name} is {value}.", remedy)


def _file_system(path: Path) -> str:
    """Return the kind of file system `path` is on; empty where the system does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    holding = [(place, kind) for place, kind in mounts if path.is_relative_to(place)]
    return max(holding, key=lambda found: len(found[0]), default=("", ""))[1]
