"""Lists cost the same however many rows there are: what the database does for a page is counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from app import clock
from app.extensions import db
from app.models import Target
from app.models.page import Page, paginate
from app.services import post_list, worklist
from app.services.post_list import Filter
from benchmarks.filling import Owners, fill
from tests import factories
from tests.factories import Person

FEW, MANY = 2_000, 16_000
LIMIT = 10
STEPS = 10  # SQLite's instructions between two counts

SLACK = 600  # others' posts that were made between those looked at may be looked at too

Ask = Callable[..., Page[Any]]


def listed(**filters: Any) -> Ask:
    """Ask for the first page of the worklist; `channel`, `days` stand for ids and times known later."""

    def ask(person: Person, owners: Owners, cursor: str | None = None) -> Page[Any]:
        given = known(filters, owners)
        return worklist.list_targets(person.principal, limit=LIMIT, cursor=cursor, **given)

    return ask


def listed_posts(*, sort: str = "-created_at", **filters: Any) -> Ask:
    """Ask for the first page of the list of posts, as `listed` does for targets."""

    def ask(person: Person, owners: Owners, cursor: str | None = None) -> Page[Any]:
        which = Filter(**known(filters, owners))
        return post_list.list_posts(person.principal, which, limit=LIMIT, cursor=cursor, sort=sort)

    return ask


def known(filters: Mapping[str, Any], owners: Owners) -> dict[str, Any]:
    given = dict(filters)
    if which := given.pop("channel", None):
        given["channel_id"] = getattr(owners, which)
    days = {
        name: given[name] for name in ("due_from", "due_to", "created_from", "created_to") if name in given
    }
    return given | {name: clock.now() + timedelta(days=each) for name, each in days.items()}


ASKED: dict[str, Ask] = {
    "targets": listed(),
    "targets, latest first": listed(sort="-due_at"),
    "targets scheduled": listed(status="scheduled"),
    "targets failed": listed(status="failed"),
    "targets that need action": listed(status="action_required"),
    "targets published": listed(status="published"),
    "targets scheduled, latest first": listed(status="scheduled", sort="-due_at"),
    "targets of a time": listed(due_from=1, due_to=10),
    "targets of a status and time": listed(status="failed", due_from=-300),
    "targets of a channel": listed(channel="channel_id"),
    "targets of a small channel": listed(channel="second_channel_id"),
    "targets of a channel and status": listed(channel="second_channel_id", status="scheduled"),
    "targets of a channel, status and time": listed(channel="channel_id", status="failed", due_from=-300, due_to=0),
    "targets that need somebody": listed(needs_action=True),
    "targets that need nobody": listed(needs_action=False),
    "targets of a channel that need somebody": listed(channel="second_channel_id", needs_action=True),
    "targets scheduled that need somebody": listed(status="scheduled", needs_action=True),
    "posts": listed_posts(),
    "posts, oldest first": listed_posts(sort="created_at"),
    **{f"posts {status}": listed_posts(status=status) for status in ("scheduled", "failed", "action_required")},
    "posts with a label": listed_posts(label="tenth"),
    "posts with a label, oldest first": listed_posts(label="tenth", sort="created_at"),
    "posts scheduled with a label": listed_posts(status="scheduled", label="tenth"),
    "posts with a label nobody gave": listed_posts(label="eleventh"),
    "posts on a channel": listed_posts(channel="channel_id"),
    "posts on a channel, oldest first": listed_posts(channel="channel_id", sort="created_at"),
    "posts on a small channel": listed_posts(channel="second_channel_id"),
    "posts on a small channel, oldest first": listed_posts(channel="second_channel_id", sort="created_at"),
    "posts failed on a channel": listed_posts(channel="channel_id", status="failed"),
    "posts with a label on a channel": listed_posts(channel="channel_id", label="tenth"),
    "posts made in a time": listed_posts(created_from=-0.5, created_to=-0.25),
    "posts made in a time, oldest first": listed_posts(created_from=-0.5, created_to=-0.25, sort="created_at"),
    "posts made in a time on a channel": listed_posts(created_from=-0.5, created_to=-0.25, channel="channel_id"),
}  # fmt: skip

DEEP = ("targets", "targets, latest first", "targets published", "targets of a channel")
EMPTY = {"targets scheduled that need somebody", "posts with a label nobody gave"}


@contextmanager
def work() -> Iterator[list[int]]:
    """Yield a list that will hold how much the database did meanwhile, statement by statement.

    PostgreSQL: rows read and sorted, as it tells itself; SQLite: instructions of its machine.
    """
    done: list[int] = []
    connection = db.session.connection()
    raw: Any = connection.connection.driver_connection

    def explain(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        with raw.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            done.append(_rows(cursor.fetchone()[0][0]["Plan"]))

    def count() -> int:
        done[0] += STEPS
        return 0

    if db.engine.dialect.name == "postgresql":
        event.listen(connection, "before_cursor_execute", explain)
        yield done
        event.remove(connection, "before_cursor_execute", explain)
    else:
        done.append(0)
        raw.set_progress_handler(count, STEPS)
        yield done
        raw.set_progress_handler(None, STEPS)


def _rows(plan: dict[str, Any]) -> int:
    filtered = sum(plan.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Join Filter"))
    own = (plan["Actual Rows"] + filtered) * plan["Actual Loops"]
    return int(own) + sum(_rows(each) for each in plan.get("Plans", ()))


@pytest.fixture
def people(context: Flask) -> dict[int, tuple[Person, Owners]]:
    """Two people, one with few rows and one with many."""
    found = {}
    for count in (FEW, MANY):
        person = factories.make_person()
        channels = [factories.make_channel(person.workspace_id).id for _ in range(2)]
        video = factories.make_video(person.workspace_id).id
        owners = Owners(person.workspace_id, channels[0], channels[1], video)
        fill(owners, count)
        found[count] = (person, owners)
    return found


def cost(ask: Callable[[], Page[Any]]) -> tuple[int, Page[Any]]:
    ask()  # a statement's first time also plans it and reads the schema
    db.session.expunge_all()
    with work() as done:
        page = ask()
    db.session.rollback()
    return sum(done), page


@pytest.mark.usefixtures("database_url")
def test_a_page_costs_the_same_however_many_rows_there_are_and_wherever_it_is(
    people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.models.page.MOST_LOOKED_AT", FEW // 8)
    costs = {}
    for name, ask in ASKED.items():
        (few, _), (many, page) = (cost(lambda: ask(*people[count])) for count in (FEW, MANY))  # noqa: B023
        costs[name] = (few, many)
        assert page.data or name in EMPTY, name
    cursor = half_a_year_ago()
    for name in DEEP:
        deep, page = cost(lambda: ASKED[name](*people[MANY], cursor=cursor))  # noqa: B023
        costs[f"{name}, in the middle"] = (costs[name][1], deep)
        assert len(page.data) == LIMIT

    assert {name: each for name, each in costs.items() if each[1] > 1.5 * each[0] + SLACK} == {}


def half_a_year_ago() -> str:
    query = select(Target).where(Target.due_at < clock.now() - timedelta(days=180))
    cursor = paginate(query, by=(Target.due_at, Target.id), limit=1).next_cursor
    assert cursor
    return cursor
