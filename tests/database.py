"""Brings a database to the newest schema by the real migrations, and lets go of it afterwards."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

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


def dispose(app: Flask) -> None:
    """Close what the app holds open: database connections and its Redis client."""
    from app.extensions import db, redis_client

    with app.app_context():
        db.session.remove()
        db.engine.dispose()
        redis_client().close()
