"""Runs the migrations on the app's database, one transaction for all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context
from flask import current_app

import app.models  # noqa: F401 - fills the metadata
from app.extensions import db
from app.models.base import UtcDateTime


def render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Write our column types as what they are in the database: a migration must not change with the models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.JSON):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def run() -> None:
    migrate = current_app.extensions["migrate"]
    with db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            **{"compare_type": True, "render_as_batch": True, "render_item": render_item}
            | migrate.configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
