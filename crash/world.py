"""Everything a run needs, as real processes, and what may happen to it: kills, flushes, power cuts, restores."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Channel, Credential, Target
from app.services import adoption, instance
from crash import processes, wal
from crash.plan import Database
from tests.database import migrate
from tests.platforms.sources import Case
from tests.rig import FACTOR, Rig, case_of
from tests.sandbox_server import SandboxProcess
from tests.servers import Postgres, postgres_server, redis_server

WORKERS = "dispatcher=2,stage=5,commit=4,default=3"
LEASE = 45 / FACTOR  # the longest; a process that stands still longer has lost all of its work


@dataclass(frozen=True)
class Servers:
    """Servers that all rounds share, and an empty, migrated database of each kind to copy."""

    folder: Path
    redis_url: str
    sandbox: SandboxProcess
    sqlite: Path | None
    postgres: Postgres | None
    template: str = ""


@contextmanager
def servers(*databases: Database) -> Iterator[Servers]:
    """Start what the rounds share. PostgreSQL keeps what it commits over a crash of its own, not of the machine."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-")))
        for name in ("redis", "sandbox"):
            (folder / name).mkdir()
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        sandbox = stack.enter_context(SandboxProcess(folder / "sandbox", speed=FACTOR))
        sqlite = postgres = None
        template = ""
        if "sqlite" in databases:
            sqlite = folder / "template.db"
            migrate(f"sqlite:///{sqlite}", data_dir=folder)
        if "postgresql" in databases:
            postgres = stack.enter_context(postgres_server(changes={"synchronous_commit": "on"}))
            url = stack.enter_context(postgres.database())
            migrate(url, data_dir=folder)
            template = url.rpartition("/")[2]
        yield Servers(folder, redis_url, sandbox, sqlite, postgres, template)


@dataclass
class World:
    """One running installation with channels on each platform."""

    rig: Rig
    database: Database
    servers: Servers
    cases: Mapping[str, Case]
    channels: dict[str, list[uuid.UUID]] = field(default_factory=dict)
    plant: str = ""
    restored_at: Any = None
    may_lose_grants: bool = False  # a fault may have struck between a rotating answer and its save

    @property
    def sim(self) -> Any:
        return self.rig.sandbox.sim

    # -- processes

    def start(self) -> None:
        self.rig.start("workers")

    def end_all(self) -> None:
        """SIGKILL everything at once, as a power cut does: also what left the process group."""
        process = self.rig.processes.pop("workers", None)
        if process is None:
            return
        process.kill()
        process.wait(20)
        processes.end_all_of(self.rig.folder)
        for note in self.stopped():
            note.unlink()

    def keep_alive(self) -> None:
        """Start the herd again if it ended."""
        process = self.rig.processes.get("workers")
        if process is None or process.poll() is not None:
            self.rig.processes.pop("workers", None)
            self.start()

    def stopped(self) -> list[Path]:
        """Return the notes of processes that stopped themselves; each says at which point."""
        return list((self.rig.folder / "crash").glob("stopped.*"))

    def go_on(self, note: Path) -> None:
        processes.go_on(note)

    # -- the world's faults

    def expire_tokens(self, platform: str) -> None:
        """End the access tokens of this platform's accounts. The database is left alone: whoever is stopped may
        hold its lock."""
        self.may_lose_grants = True
        for number in range(len(self.channels[platform])):
            self.sim.expire_tokens(username(number), platform=platform)

    def restart_database(self) -> None:
        assert self.servers.postgres is not None
        self.servers.postgres.crash()
        self._forget_connections()

    def cut_power(self) -> int:
        """End every process and take from the log what was not synced; start again. Returns the bytes lost."""
        self.end_all()
        self._forget_connections()
        lost = wal.cut(self.path) if self.database == "sqlite" else 0
        self.start()
        return lost

    def take_snapshot(self) -> None:
        """Make a backup while everything runs."""
        if self.database == "sqlite":
            source, copy = sqlite3.connect(self.path, timeout=30), sqlite3.connect(self.backup)
            with contextlib.closing(source), contextlib.closing(copy):
                source.backup(copy)
        else:
            self._copy_postgres(self.name, f"{self.name}_backup")

    def restore(self, *, adopt: bool = True) -> None:
        """End every process, put the backup in the database's place, start again, adopt it."""
        self.end_all()
        self._forget_connections()
        if self.database == "sqlite":
            for suffix in ("-wal", "-shm", "-unsynced"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(self.backup, self.path)
        else:
            self._copy_postgres(f"{self.name}_backup", self.name)
        self.restored_at, self.may_lose_grants = clock.now(), True
        self.start()
        if adopt:
            self.adopt()

    def adopt(self, *, seconds: float = 40) -> None:
        """Let the database publish again, as `flask adopt` does, as often as it asks for it."""
        deadline = time.monotonic() + seconds
        with self.rig.app.app_context():
            while instance.check() is not None and time.monotonic() < deadline:
                self.reconnect()
                adoption.adopt(give_up=time.monotonic() > deadline - 10)
                db.session.rollback()

    def reconnect(self) -> int:
        """Connect again what needs it, as its owner would; return how many channels that were."""
        with self.rig.app.app_context():
            found = db.session.query(Channel).filter(Channel.status == "needs_reconnect").all()
            for channel in found:
                self._connect_again(channel)
            db.session.commit()
            return len(found)

    def _connect_again(self, channel: Channel) -> None:
        credential = db.session.get_one(Credential, channel.credential_id)
        grant = self.sim.token(channel.username, platform=channel.platform)
        columns = self.rig.grant_columns(credential.id, grant, platform=channel.platform)
        db.session.execute(update(Credential).where(Credential.id == credential.id).values(**columns))
        channel.status = "active"
        db.session.flush()
        Target.reckon_holds(Target.channel_id == channel.id)

    # -- the database as a file or a name

    @property
    def path(self) -> Path:
        return Path(self.rig.database_url.removeprefix("sqlite:///"))

    @property
    def backup(self) -> Path:
        return self.path.with_name("backup.db")

    @property
    def name(self) -> str:
        return self.rig.database_url.rpartition("/")[2]

    def _copy_postgres(self, source: str, target: str) -> None:
        assert self.servers.postgres is not None
        with psycopg.connect(self.servers.postgres.admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)'.encode())
            connection.execute(f'ALTER DATABASE "{source}" ALLOW_CONNECTIONS false'.encode())
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(end, [source])
            copy = f'CREATE DATABASE "{target}" TEMPLATE "{source}"'
            for attempt in range(20):
                try:
                    connection.execute(copy.encode())
                    break
                except psycopg.errors.ObjectInUse:  # a backend that was told to end is not gone yet
                    time.sleep(0.1 * attempt)
            # Without it, numbers a copied sequence gives out next are not in the log, and a crash takes them back.
            connection.execute(b"CHECKPOINT")
            for name in (source, target):
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())

    def _forget_connections(self) -> None:
        with self.rig.app.app_context():
            db.session.remove()
            db.engine.dispose()


def username(number: int) -> str:
    return f"crash_{number}"


@contextmanager
def world(
    parts: Servers, database: Database, platforms: list[str], *, channels: int = 16, plant: str = ""
) -> Iterator[World]:
    """Run the product on a fresh database with `channels` accounts of each platform."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-round-")))
        if database == "sqlite":
            assert parts.sqlite is not None
            url = f"sqlite:///{shutil.copy(parts.sqlite, folder / 'scheduler.db')}"
        else:
            assert parts.postgres is not None
            url = stack.enter_context(parts.postgres.database(template=parts.template))
        parts.sandbox.sim.reset()
        parts.sandbox.sim.settings(rate_limits=False)
        extra = {"WORKERS": WORKERS, "CRASH_WATCH_LOG": "1", "CRASH_PLANT": plant, "COMMIT_THREADS": 16}
        extra["SIM_URL"], extra["LOG_LEVEL"] = parts.sandbox.base_url, "WARNING"
        rig = Rig(folder / "data", url, parts.redis_url, parts.sandbox, extra, ("-m", "crash.child"))
        stack.enter_context(rig)
        (rig.folder / "crash").mkdir(exist_ok=True)
        rig.flush_redis()
        made = World(rig, database, parts, {name: case_of(name) for name in platforms}, plant=plant)
        for platform in platforms:
            made.channels[platform] = [_connect(rig, platform, number) for number in range(channels)]
        stack.callback(made.end_all)
        made.start()
        yield made


def _connect(rig: Rig, platform: str, number: int) -> uuid.UUID:
    rig.sandbox.sim.account(username(number), platform=platform)
    return rig.make_channel(username(number), platform=platform)
