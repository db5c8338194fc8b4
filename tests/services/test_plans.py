"""What the dispatcher asks each second finds its rows by an index, however many targets wait."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Table, event, insert, select, text, update

from app import clock
from app.domain.target_state import WAITING
from app.extensions import db
from app.models import Post, Target
from app.models.base import new_id
from app.models.target import MAY_BE_LATE
from app.services import dispatch, instance
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url")
MANY = 3000


def copies(table: Any, count: int, **columns: Any) -> list[dict[str, Any]]:
    """Return the table's one row `count` times, with ids of their own."""
    assert isinstance(table, Table)
    row = dict(db.session.execute(select(table)).mappings().one())
    return [row | {"id": new_id()} | columns for _ in range(count)]


@pytest.fixture
def many_waiting(context: Flask) -> None:
    """Thousands of targets that are due some day, and a database that knows of it."""
    workspace_id = make_person().workspace_id
    make_post(make_video(workspace_id), make_channel(workspace_id))
    posts, targets = copies(Post.__table__, MANY), copies(Target.__table__, MANY)
    for number, (post, target) in enumerate(zip(posts, targets, strict=True)):
        due_at = clock.now() + timedelta(hours=2, minutes=number)
        times = {"due_at": due_at, "late_until": due_at + timedelta(hours=2), "next_at": due_at}
        target |= times | {"post_id": post["id"]}
    db.session.connection().execute(insert(Post.__table__), posts)  # type: ignore[arg-type]
    db.session.connection().execute(insert(Target.__table__), targets)  # type: ignore[arg-type]
    db.session.execute(text("ANALYZE"))
    db.session.commit()


@contextmanager
def noted() -> Iterator[list[tuple[str, Any]]]:
    """Yield a list that fills with the statements sent inside, and their parameters."""
    sent: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:
        sent.append((args[2], args[3]))

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(statement: str, parameters: Any) -> str:
    """Return how the database would go about it."""
    explain, raw = "EXPLAIN " if db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN ", ""
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(explain + statement, parameters)
        raw = "\n".join(str(row[-1]) for row in cursor.fetchall())
    finally:
        connection.close()
    return raw


def test_no_look_of_the_dispatcher_reads_all_targets(many_waiting: None) -> None:
    assert instance.check() is None
    due = select(Target.id).limit(1).scalar_subquery()
    db.session.execute(update(Target).where(Target.id == due).values(next_at=clock.now()))
    db.session.commit()

    with noted() as sent:
        dispatch.tick()

    asked = [(words, values) for words, values in sent if words.startswith(("SELECT", "WITH", "UPDATE"))]
    plans = {words: plan(words, values) for words, values in asked if "targets" in words}
    assert len(plans) >= 4
    assert [
        words
        for words, how in plans.items()
        if "SCAN targets\n" in f"{how}\n" or "Seq Scan on targets" in how
    ] == []


def test_the_words_of_the_index_are_the_machines_own_states() -> None:
    assert set(re.findall(r"'(\w+)'", MAY_BE_LATE)) == WAITING
