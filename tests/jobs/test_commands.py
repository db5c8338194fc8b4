"""The commands that run processes and adopt databases, as an operator types them."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from flask import Flask
from sqlalchemy import update

from app import create_app
from app.extensions import db
from app.models import Instance
from app.services import instance
from jobs import commands, runtime
from tests.conftest import SettingsMaker
from tests.database import dispose


@pytest.fixture
def production(postgres_url: str, make_settings: SettingsMaker) -> Iterator[Flask]:
    """A production app on the tests' PostgreSQL, which runs without fsync."""
    made = create_app(make_settings(database_url=postgres_url, app_env="production"))
    before = list(runtime._given)
    runtime.use(made)
    yield made
    runtime._given[:] = before
    dispose(made)


@pytest.fixture
def commanded(app: Flask) -> Flask:
    commands.register(app)
    return app


def test_production_refuses_a_database_that_may_lose_commits_and_says_all_of_it(production: Flask) -> None:
    with pytest.raises(click.ClickException) as refusal:
        commands.refuse_unsafe_database()

    assert "fsync is off" in refusal.value.message
    assert "full_page_writes is off" in refusal.value.message
    assert "ALTER SYSTEM SET fsync = on" in refusal.value.message


@pytest.mark.parametrize("command", [["dispatcher"], ["workers"], ["worker", "commit"]])
def test_nothing_that_publishes_starts_on_it(production: Flask, command: list[str]) -> None:
    commands.register(production)

    result = production.test_cli_runner().invoke(args=command)

    assert result.exit_code == 1
    assert "may lose commits" in result.output


def test_a_database_in_order_has_nothing_to_adopt(commanded: Flask) -> None:
    result = commanded.test_cli_runner().invoke(args=["adopt"])

    assert (result.exit_code, "nothing to adopt" in result.output) == (0, True), result.output


def test_a_restored_database_publishes_again_once_it_is_adopted(commanded: Flask) -> None:
    with commanded.app_context():
        instance.check()
        instance.record(instance.advance() + 5)
        db.session.rollback()
        db.session.execute(update(Instance).values(generation=0))
        db.session.commit()

    result = commanded.test_cli_runner().invoke(args=["adopt"])

    assert "Publishing goes on" in result.output
    with commanded.app_context():
        assert instance.check() is None
