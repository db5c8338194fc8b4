"""What the stack decides before anything runs: its folder, lock and secrets, its children's environment."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dotenv import dotenv_values

from app import clock
from app.embedded import write_private

ROOT = Path(__file__).resolve().parent.parent
MARK = "STACK_DATA_DIR"  # in every child's environment: whose it is
HARMLESS = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The stack cannot start; the message is for the person who started it."""


def given_environment() -> dict[str, str]:
    """Return what people set: `.env` below the process environment. Nothing the stack wrote itself."""
    written = dotenv_values(ROOT / ".env")
    return {key: value for key, value in written.items() if value is not None} | dict(os.environ)


def make_data_dir(given: Mapping[str, str]) -> Path:
    """Return DATA_DIR as an absolute path to a folder of ours that nobody else may enter. Raises Refused."""
    path = (ROOT / (given.get("DATA_DIR") or "var")).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (path / "run").mkdir(exist_ok=True, mode=0o700)
        (path / "run" / "writable").write_text("")
        (path / "run" / "writable").unlink()
    except OSError as error:
        raise Refused(
            f"DATA_DIR={path} cannot be written: {error.strerror}. Choose another folder."
        ) from error
    return path


def claim(data_dir: Path) -> IO[str]:
    """Return the lock on DATA_DIR, held until closed; the kernel frees it whatever happens to us.

    Raises Refused naming the stack that runs there.
    """
    lock = (data_dir / "run" / "stack.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Refused(_who_runs(data_dir)) from None
    (data_dir / "run" / "stack.json").unlink(missing_ok=True)
    (data_dir / "run" / "stack.env").unlink(missing_ok=True)
    return lock


def describe(data_dir: Path, **facts: Any) -> None:
    """Write down who runs here, for the next one to come and for `make demo`."""
    text = json.dumps({"pid": os.getpid(), "started_at": clock.isoformat(clock.now())} | facts, indent=2)
    write_private(data_dir / "run" / "stack.json", text + "\n")


def running_stack(data_dir: Path) -> dict[str, Any]:
    """Return what the running stack wrote about itself, or {}."""
    try:
        found = json.loads((data_dir / "run" / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _who_runs(data_dir: Path) -> str:
    stack = running_stack(data_dir)
    if not stack:
        return f"A stack is just starting or ending in {data_dir}. Try again in a moment."
    where = f" at {stack['url']}" if stack.get("url") else ""
    return (
        f"`make {stack.get('mode', 'run')}` is already running{where}: process {stack['pid']}, since "
        f"{stack['started_at']}, in {data_dir}.\nUse that one, or stop it first with: kill {stack['pid']}"
    )


def keep_mode(data_dir: Path, mode: str) -> None:
    """Note that DATA_DIR belongs to `run` or `serve`. Raises Refused when it belongs to the other one:
    production must not inherit a demo login, and a demo must not be seeded into production."""
    path = data_dir / "mode"
    found = path.read_text().strip() if path.exists() else mode
    if found != mode:
        raise Refused(
            f"{data_dir} was made by `make {found}`; demo and production data must not mix.\n"
            f"Choose another folder: DATA_DIR=/srv/video-scheduler make {mode}"
        )
    path.write_text(f"{mode}\n")


def made_secrets(data_dir: Path) -> dict[str, str]:
    """Return what DATA_DIR/secrets.env holds."""
    return {key: value for key, value in dotenv_values(data_dir / "secrets.env").items() if value}


def make_secrets(data_dir: Path, given: Mapping[str, str]) -> list[str]:
    """Make once what nobody set, in DATA_DIR/secrets.env (mode 0600); return the names of the new ones."""
    path = data_dir / "secrets.env"
    kept = made_secrets(data_dir)
    new = {key: value for key, value in _fresh_secrets().items() if not given.get(key) and key not in kept}
    if new:
        header = "# Made once by the stack. Keep a copy: without it nobody can read the stored tokens.\n"
        write_private(path, header + as_env_file(kept | new))
    if path.exists():
        path.chmod(0o600)
    return list(new)


def _fresh_secrets() -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": f"{clock.now():k%Y%m%d}:{key}",
    }


def as_env_file(values: Mapping[str, str]) -> str:
    """Return the values as lines that dotenv reads back unchanged."""
    quoted = ((key, value.replace("\\", "\\\\").replace("'", "\\'")) for key, value in values.items())
    return "".join(f"{key}='{value}'\n" for key, value in quoted)


def child_environment(data_dir: Path, given: Mapping[str, str], decided: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every child: what people set, then what the stack decided."""
    local = ",".join(filter(None, (given.get("NO_PROXY") or given.get("no_proxy"), "127.0.0.1,localhost")))
    return {
        **given,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), given.get("PATH", os.defpath))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": local,
        "no_proxy": local,
        "FLASK_APP": "wsgi.py",
        "DATA_DIR": str(data_dir),
        "PROMETHEUS_MULTIPROC_DIR": str(data_dir / "metrics"),
        MARK: str(data_dir),
        **decided,
    }


def foreign_environment(data_dir: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that is not ours, e.g. Redis: it has no use for our secrets."""
    return {name: given[name] for name in HARMLESS if name in given} | {MARK: str(data_dir)}
