"""Objects without an app: the database, migrations, limiter, tokens, Redis. Each is bound in `init_app`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import redis
from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.orm import DeclarativeBase

from app.config import Settings
from app.security import KeyRing

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)


# Reading an attribute after a commit must not open another transaction: on SQLite that takes the write lock.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

migrate = Migrate()
jwt = JWTManager()
limiter = Limiter(key_func=lambda: g.get("rate_key") or get_remote_address(), headers_enabled=True)

# SQLite takes its write lock when a transaction begins, so that a read followed by a write never fails with
# "database is locked"; a request that only reads must not wait for writers, so it says so here.
_read_only: ContextVar[bool] = ContextVar("read_only", default=False)


@contextmanager
def read_only() -> Iterator[None]:
    """Transactions begun inside take no write lock on SQLite. Writing inside is a mistake."""
    token = _read_only.set(True)
    try:
        yield
    finally:
        _read_only.reset(token)


@contextmanager
def read_write() -> Iterator[None]:
    """Transactions begun inside may write, in a request whose method says it only reads."""
    token = _read_only.set(False)
    try:
        yield
    finally:
        _read_only.reset(token)


def init_app(app: Flask, settings: Settings) -> None:
    """Bind every extension to the app, but for the limiter: app/routes binds it, once callers are known."""
    app.config.update(_flask_config(settings))
    app.extensions["settings"] = settings
    db.init_app(app)
    migrate.init_app(app, db, directory="migrations", render_as_batch=settings.is_sqlite, compare_type=True)
    jwt.init_app(app)
    app.extensions["redis_client"] = redis.Redis.from_url(
        settings.redis_url or "redis://127.0.0.1:6379/0",
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=30,
    )
    app.extensions["key_ring"] = (
        KeyRing.from_text(settings.encryption_keys) if settings.encryption_keys else None
    )
    app.before_request(_mark_reading_requests)
    with app.app_context():
        _listen(db.engine, settings)
    os.register_at_fork(after_in_child=lambda: _forget_connections(app))


def settings() -> Settings:
    """Return the settings of the current app."""
    return cast(Settings, current_app.extensions["settings"])


def redis_client() -> redis.Redis:
    """Return the app's Redis client. Redis may be away: callers that can live without it must catch RedisError."""
    return cast(redis.Redis, current_app.extensions["redis_client"])


def key_ring() -> KeyRing:
    """Return the keys that seal tokens and handles. Raises RuntimeError when none is configured."""
    ring = current_app.extensions["key_ring"]
    if ring is None:
        raise RuntimeError("ENCRYPTION_KEYS is not set: run `flask doctor` for how to make one.")
    return cast(KeyRing, ring)


def _flask_config(settings: Settings) -> dict[str, Any]:
    return {
        "SECRET_KEY": settings.secret_key,
        "JWT_SECRET_KEY": settings.jwt_secret_key,
        "JWT_ACCESS_TOKEN_EXPIRES": settings.access_token_seconds,
        "SQLALCHEMY_DATABASE_URI": settings.sqlalchemy_url,
        "SQLALCHEMY_ENGINE_OPTIONS": _engine_options(settings),
        "RATELIMIT_STORAGE_URI": settings.redis_url or "memory://",
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
        "RATELIMIT_STRATEGY": "fixed-window",
        "RATELIMIT_KEY_PREFIX": settings.queue_prefix,
        "PROPAGATE_EXCEPTIONS": False,
        "API_TITLE": "Multi-Platform Video Scheduler",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": "/",
        "OPENAPI_JSON_PATH": "openapi.json",
    }


def _engine_options(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {"hide_parameters": True, "connect_args": {"timeout": 5, "check_same_thread": False}}
    return {
        "hide_parameters": True,  # they may be secrets, and errors show them
        "pool_size": settings.database_pool_size,
        "max_overflow": 5,
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": 3, "options": "-c timezone=utc -c statement_timeout=30000"},
    }


def _mark_reading_requests() -> None:
    _read_only.set(request.method in {"GET", "HEAD", "OPTIONS"})


def _listen(engine: Engine, settings: Settings) -> None:
    if settings.is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # synchronous=FULL: a committed intent to publish must survive a power cut (NORMAL may roll it back).
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if _read_only.get() else "BEGIN IMMEDIATE")


def _forget_connections(app: Flask) -> None:
    """A forked child must not speak on its parent's database sockets."""
    with app.app_context():
        db.engine.dispose(close=False)
