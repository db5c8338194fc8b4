"""Examines a whole installation: what is wrong, and how to mend it.

Each check answers findings and never raises: a part that is down must not hide the others. `ok` needs
nothing, `warn` works but should be looked at, `fail` does not work or may lose what was promised.
"""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import redis
import requests
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from app.config import SERVICE_NAME
from app.embedded import find_ffmpeg
from app.exceptions import AppException
from app.extensions import db, key_ring, redis_client, settings
from app.media import abilities
from app.queue import QUEUES, carrier
from app.services import clock_offset, durability, instance, keys, storage_check
from app.storage import get_storage, new_key

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is empty when there is nothing to do."""

    check: str
    level: Level
    message: str
    remedy: str = ""


def examine(*, running: bool) -> list[Finding]:
    """Return all findings; `running` also asks for what only a started service has: workers, its address."""
    checks = [*STANDING, *RUNNING] if running else STANDING
    return [finding for name, check in checks for finding in _safely(name, check)]


def _safely(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except (SQLAlchemyError, redis.RedisError, AppException, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        return [
            Finding(name, "fail", f"It could not be examined: {_without_secrets(reason)}", REMEDIES[name])
        ]
    finally:
        db.session.rollback()


def _without_secrets(reason: str) -> str:
    for url in (settings().sqlalchemy_url, settings().redis_url):
        password = urlsplit(url).password
        reason = reason.replace(password, "***") if password else reason
    return reason


# -- what must be right before anything starts


def _settings() -> Iterator[Finding]:
    mode = settings().app_env
    yield Finding("settings", "ok", f"APP_ENV is {mode}; DATA_DIR is {settings().data_dir.resolve()}")
    if not settings().encryption_keys:
        yield Finding(
            "settings",
            "fail",
            "ENCRYPTION_KEYS is not set: no channel can be connected.",
            REMEDIES["settings"],
        )


def _secrets() -> Iterator[Finding]:
    path = settings().data_dir / "secrets.env"
    if not path.exists():
        yield Finding("secrets", "ok", "The secrets come from the environment.")
    elif mode := path.stat().st_mode & 0o077:
        yield Finding("secrets", "fail", f"Others may read {path} (mode {mode:03o}).", f"chmod 600 {path}")
    else:
        yield Finding("secrets", "ok", f"Only its owner may read {path}. Keep a copy of it elsewhere.")


def _database() -> Iterator[Finding]:
    with db.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    migrations = Path(current_app.root_path).parent / "migrations"
    newest = ScriptDirectory(str(migrations)).get_current_head()
    if found == newest:
        yield Finding(
            "database", "ok", f"Reachable ({db.engine.dialect.name}), schema {found} is the newest."
        )
    else:
        was = f"schema {found}" if found else "no schema"
        yield Finding("database", "fail", f"It has {was}; {newest} is needed.", "flask db upgrade")


def _durability() -> Iterator[Finding]:
    found = durability.faults()
    for fault in found:
        yield Finding("durability", "fail", fault.message, fault.remedy)
    if not found:
        yield Finding("durability", "ok", "The database keeps what it commits.")


def _redis() -> Iterator[Finding]:
    client = redis_client()
    version = client.info("server")["redis_version"]
    yield Finding("redis", "ok", f"Reachable, version {version}.")
    policy = client.info("memory").get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        yield Finding(
            "redis",
            "fail",
            f"Under pressure it forgets work: maxmemory-policy is {policy}.",
            REMEDIES["redis"],
        )


def _storage() -> Iterator[Finding]:
    store, content = get_storage(), uuid.uuid4().bytes
    key = new_key("doctor", uuid.uuid4(), "probe.bin")
    try:
        store.put_stream(key, io.BytesIO(content), max_bytes=len(content))
        came_back = b"".join(store.iter_range(key))
    finally:
        store.delete(key)
    if came_back == content:
        yield Finding("storage", "ok", f"A file came back from {store.backend} as it was.")
    else:
        yield Finding("storage", "fail", "A file did not come back as it was stored.", REMEDIES["storage"])


def _files() -> Iterator[Finding]:
    """A light check: the newest files. `flask storage check` looks at all of them."""
    found = storage_check.newest_without_files()
    if not found:
        yield Finding("files", "ok", "The newest videos, thumbnails and renditions are where their rows say.")
    for trouble in found[:5]:
        yield Finding(
            "files", "warn", f"{trouble.key} is {trouble.kind} in {trouble.backend}.", REMEDIES["files"]
        )


def _disk() -> Iterator[Finding]:
    free, needed = shutil.disk_usage(settings().data_dir).free, settings().min_free_bytes
    message = f"{free / 1e9:.1f} GB are free in {settings().data_dir.resolve()}."
    if free < needed:
        yield Finding(
            "disk", "fail", f"{message} Uploads are refused below {needed / 1e9:.1f} GB.", REMEDIES["disk"]
        )
    elif free < needed + settings().max_upload_bytes:
        largest = settings().max_upload_bytes / 1e9
        yield Finding(
            "disk", "warn", f"{message} A largest upload needs {largest:.1f} GB more.", REMEDIES["disk"]
        )
    else:
        yield Finding("disk", "ok", message)


def _ffmpeg() -> Iterator[Finding]:
    found = find_ffmpeg(settings().ffmpeg_path)
    if not found:
        yield Finding("ffmpeg", "fail", "There is no ffmpeg.", REMEDIES["ffmpeg"])
        return
    able = abilities(Path(found))
    if able.missing:
        level: Level = "warn" if able.converts else "fail"
        harm = "HDR videos cannot be converted" if able.converts else "videos cannot be converted"
        lacks = f"{found} lacks {', '.join(able.missing)}: {harm}."
        yield Finding("ffmpeg", level, lacks, REMEDIES["ffmpeg"])
    else:
        yield Finding("ffmpeg", "ok", f"Found at {found}.")


def _clock() -> Iterator[Finding]:
    offset = clock_offset.measure()
    level: Level = "ok"
    if abs(offset) >= clock_offset.WARN_SECONDS:
        level = "fail" if abs(offset) >= clock_offset.STOP_SECONDS else "warn"
    message = f"This clock is {offset * 1000:+.0f} ms from the database's."
    yield Finding("clock", level, message, REMEDIES["clock"] if level != "ok" else "")


# -- what only a started service has


def _processes() -> Iterator[Finding]:
    alive = carrier().alive()
    for role in ("dispatcher", *(f"worker.{queue}" for queue in QUEUES)):
        count = alive.get(role, 0)
        if count:
            yield Finding("processes", "ok", f"{role}: {count} alive.")
        else:
            yield Finding("processes", "fail", f"No {role} has been heard of lately.", REMEDIES["processes"])


def _instance() -> Iterator[Finding]:
    reason = instance.check()
    if reason is None:
        yield Finding("instance", "ok", "This database is the one that was used last.")
    else:
        yield Finding("instance", "fail", f"Nothing is published: {reason}", REMEDIES["instance"])


def _keys() -> Iterator[Finding]:
    if not settings().encryption_keys:
        return  # said above
    newest, *old = key_ring().keys
    if not old:
        yield Finding("keys", "ok", f"One key seals everything: {newest}.")
    for key_id, places in keys.old_keys().items() if old else ():
        if places:
            where = ", ".join(places)
            yield Finding("keys", "warn", f"The old key {key_id} still seals {where}.", REMEDIES["keys"])
        else:
            yield Finding("keys", "ok", f"The old key {key_id} seals nothing any more. It may be removed.")


def _public_url() -> Iterator[Finding]:
    url = settings().public_url.rstrip("/")
    parts = urlsplit(url)
    try:
        answer = requests.get(f"{url}/health", timeout=5, allow_redirects=False)
        reached = answer.status_code == 200 and answer.json().get("service") == SERVICE_NAME
        found = f"HTTP {answer.status_code}, not this service"
    except (requests.RequestException, ValueError) as error:
        reached, found = False, type(error).__name__
    if not reached:
        yield Finding("public_url", "fail", f"{url} does not lead here: {found}.", REMEDIES["public_url"])
        return
    yield Finding("public_url", "ok", f"{url} leads here.")
    if settings().is_production and parts.scheme != "https":
        yield Finding(
            "public_url", "warn", "It is not https: platforms refuse such callbacks.", REMEDIES["public_url"]
        )


STANDING: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("settings", _settings),
    ("secrets", _secrets),
    ("database", _database),
    ("durability", _durability),
    ("redis", _redis),
    ("storage", _storage),
    ("disk", _disk),
    ("ffmpeg", _ffmpeg),
    ("clock", _clock),
)
RUNNING: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("processes", _processes),
    ("instance", _instance),
    ("files", _files),
    ("keys", _keys),
    ("public_url", _public_url),
)
REMEDIES = {
    "settings": "Start with `make run` or `make serve`, which make the secrets, or set them; see .env.example.",
    "secrets": "Make DATA_DIR/secrets.env readable by its owner.",
    "database": "Start the database and check DATABASE_URL.",
    "durability": durability.LOCAL_DISK,
    "redis": "Start Redis, check REDIS_URL; CONFIG SET maxmemory-policy noeviction.",
    "storage": "Check that DATA_DIR/files can be written, or the S3_* settings and the bucket's policy.",
    "files": "flask storage check",
    "disk": "Free disk space, delete old videos, or move DATA_DIR or the files (STORAGE_BACKEND=s3).",
    "ffmpeg": "Install a complete ffmpeg, or set FFMPEG_PATH; the one of pip's imageio-ffmpeg has everything.",
    "clock": "Set this machine's clock right: timedatectl set-ntp true.",
    "processes": "Start `flask workers` and `flask dispatcher`, or all with `make serve`; read their logs.",
    "instance": "If this database was restored or copied on purpose: flask adopt.",
    "keys": "flask keys rotate, then take the old key out of ENCRYPTION_KEYS.",
    "public_url": "Set PUBLIC_URL to the https address that your proxy passes on to BIND.",
}
