"""Whether a database has the newest schema, asked without loading the application: a later start saves its
slowest step. Any doubt means no, and then the real migrations decide."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from jobs.environment import ROOT

_REVISION = re.compile(r"""^(down_revision|revision)\b[^=]*=\s*["']([^"']+)["']""", re.MULTILINE)


def is_newest(url: str) -> bool:
    """Return whether the database at the SQLAlchemy `url` stands at the one newest migration."""
    try:
        stored = _sqlite_revision(url) if url.startswith("sqlite:///") else _postgres_revision(url)
    except Exception:  # whatever it is, the migrations will say it properly
        return False
    return {stored} == newest(ROOT / "migrations" / "versions")


def newest(folder: Path) -> set[str]:
    """Return the revisions in `folder` that no other one follows."""
    found = [match.groups() for path in folder.glob("*.py") for match in _REVISION.finditer(path.read_text())]
    followed = {revision for name, revision in found if name == "down_revision"}
    return {revision for name, revision in found if name == "revision"} - followed


def _sqlite_revision(url: str) -> str:
    path = url.removeprefix("sqlite:///").partition("?")[0]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _postgres_revision(url: str) -> str:
    import psycopg

    with psycopg.connect(
        url.replace("postgresql+psycopg://", "postgresql://"), connect_timeout=3
    ) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""
