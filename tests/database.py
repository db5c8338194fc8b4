"""Brings a database to the newest schema by the real migrations, and lets go of it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.util import LRUCache

from app.config import Settings


def migrate(url: str, *, data_dir: Path) -> None:
    """Run the migrations on the database at `url`."""
    from flask_migrate import upgrade

    from app import create_app

    app = create_app(
        Settings(database_url=url, data_dir=data_dir, secret_key="s" * 40, jwt_secret_key="j" * 40)
    )
    with app.app_context():
        upgrade(directory=str(Path(app.root_path).parent / "migrations"))
    dispose(app)


class _Statements(LRUCache[Any, Any]):
    """SQLAlchemy's compiled statements with the kind of database in their key, instead of one app's engine."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), value)


_statements = _Statements(10_000)


def share_statements(app: Flask) -> None:
    """Let this app find what other apps on the same kind of database have compiled: a fourth of a test's time."""
    from app.extensions import Base, db

    with app.app_context():
        db.engine._compiled_cache = _statements
    for mapper in Base.registry.mappers:
        mapper._compiled_cache = _statements


def dispose(app: Flask) -> None:
    """Close what the app holds open: database connections and its Redis client."""
    from app.extensions import db, redis_client

    with app.app_context():
        db.session.remove()
        db.engine.dispose()
        redis_client().close()
