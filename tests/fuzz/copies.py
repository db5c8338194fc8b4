"""A database that is put back again and again: as it was migrated, or as the last world left it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers import Postgres


class Copies(Protocol):
    """Nobody may be connected while something is put back or kept."""

    @property
    def url(self) -> str: ...
    def put_migrated(self) -> None: ...
    def put_world(self) -> None: ...
    def keep_world(self) -> None: ...


@dataclass(frozen=True)
class Files:
    """SQLite's: a file is copied."""

    folder: Path
    migrated: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    @property
    def _file(self) -> Path:
        return self.folder / "scheduler.db"

    def put_migrated(self) -> None:
        shutil.copyfile(self.migrated, self._file)

    def put_world(self) -> None:
        shutil.copyfile(self._file.with_suffix(".world"), self._file)

    def keep_world(self) -> None:
        shutil.copyfile(self._file, self._file.with_suffix(".world"))


@dataclass(frozen=True)
class Templates:
    """PostgreSQL's: a database is made anew from another."""

    server: Postgres
    migrated: str  # a database's name

    @property
    def url(self) -> str:
        return self.server.url("fuzz")

    def put_migrated(self) -> None:
        self._copy(self.migrated, "fuzz")

    def put_world(self) -> None:
        self._copy("world", "fuzz")

    def keep_world(self) -> None:
        self._copy("fuzz", "world")

    def _copy(self, source: str, name: str) -> None:
        self.server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
