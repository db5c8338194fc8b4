"""A restored or cloned database must not publish again until somebody adopts it."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import update

from app.extensions import db
from app.models import Instance
from app.services import instance

pytestmark = pytest.mark.usefixtures("database_url")


def advance(times: int = 1) -> None:
    for _ in range(times):
        generation = instance.advance()
        db.session.commit()
        instance.record(generation)


def test_a_new_installation_may_publish_and_goes_on(context: Flask):
    assert instance.check() is None
    advance(3)
    assert instance.check() is None


def test_a_database_restored_from_an_older_snapshot_may_not_publish(context: Flask):
    instance.check()
    advance(3)
    db.session.execute(update(Instance).values(generation=1))
    db.session.commit()

    reason = instance.check()

    assert reason is not None
    assert "restored" in reason


def test_a_cloned_database_may_not_publish(context: Flask):
    instance.check()
    advance()
    (context.extensions["settings"].data_dir / "instance.json").unlink()

    reason = instance.check()

    assert reason is not None
    assert "copied" in reason


def test_an_adopted_database_may_publish_again(context: Flask):
    instance.check()
    advance(3)
    db.session.execute(update(Instance).values(generation=1))
    db.session.commit()

    mark = instance.adopt()

    assert mark.generation == 4
    assert instance.check() is None


def test_a_claim_whose_copy_was_never_written_does_not_look_like_a_restore(context: Flask):
    instance.check()
    advance()
    instance.advance()
    db.session.commit()

    assert instance.check() is None


def test_a_claim_made_while_it_is_checked_does_not_look_like_a_restore(
    context: Flask, monkeypatch: pytest.MonkeyPatch
):
    instance.check()
    read_database = instance._mark

    def read_and_be_overtaken() -> instance.Mark | None:
        mark = read_database()
        monkeypatch.setattr(instance, "_mark", read_database)
        advance()
        return mark

    monkeypatch.setattr(instance, "_mark", read_and_be_overtaken)

    assert instance.check() is None
