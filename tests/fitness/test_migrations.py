from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask

from app.extensions import db
from tests.servers import ROOT


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory(str(ROOT / "migrations")).get_heads()) == 1


@pytest.mark.usefixtures("database_url")
def test_models_equal_migrations(context: Flask) -> None:
    with db.engine.connect() as connection:
        comparing = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(comparing, db.metadata)

    assert len(db.metadata.tables) > 15
    assert differences == []
