"""The power cut of the proof: it takes what SQLite did not sync, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crash import wal

WRITER = """
import os, sqlite3, sys
from crash import wal
wal.watch()
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for pragma in ("journal_mode=WAL", f"synchronous={sys.argv[2]}"):
    connection.execute(f"PRAGMA {pragma}")
connection.execute("CREATE TABLE notes (number)")
for number in range(50):
    connection.execute("INSERT INTO notes VALUES (?)", (number,))
os.kill(os.getpid(), 9)
"""


def write_and_cut(database: Path, synchronous: str) -> int:
    subprocess.run(
        [sys.executable, "-c", WRITER, str(database), synchronous], cwd=Path(wal.__file__).parent.parent
    )
    return wal.cut(database)


def rows(database: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM notes").fetchone()[0]) if tables else 0


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", 50), ("NORMAL", 0)])
def test_a_power_cut_keeps_what_was_synced(tmp_path: Path, synchronous: str, kept: int):
    lost = write_and_cut(tmp_path / "notes.db", synchronous)

    assert (rows(tmp_path / "notes.db"), lost > 0) == (kept, kept == 0)
