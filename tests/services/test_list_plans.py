"""A list of posts is read by the index that has just these in order, however many newer ones others have."""

from __future__ import annotations

import pytest
from flask import Flask

from app.extensions import db
from app.services import post_list
from app.services.post_list import Filter
from benchmarks.filling import Owners, fill
from tests import factories
from tests.factories import Person
from tests.services.test_plans import noted, plan

pytestmark = pytest.mark.usefixtures("database_url")
MANY = 6_000
OF_ALL, OF_STATUS = "ix_posts_workspace_id_id", "ix_posts_workspace_id_status_id"


@pytest.fixture
def person(context: Flask) -> Person:
    """Somebody with many posts, beside another with as many made at the same times; the database knows of it."""
    people = []
    for _ in range(2):
        person = factories.make_person()
        channels = [factories.make_channel(person.workspace_id).id for _ in range(2)]
        video = factories.make_video(person.workspace_id).id
        fill(Owners(person.workspace_id, channels[0], channels[1], video), MANY)
        people.append(person)
    db.session.commit()
    return people[0]


@pytest.mark.parametrize("sort", ["-created_at", "created_at"])
def test_each_filter_of_posts_walks_the_index_that_has_them_in_order(
    person: Person, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.models.page.MOST_LOOKED_AT", MANY // 60)
    wanted = {
        Filter(): OF_ALL,
        Filter(status="scheduled", label="tenth"): OF_STATUS,
        **{Filter(status=each): OF_STATUS for each in ("published", "failed", "scheduled", "draft")},
    }

    wrong = {}
    for which, index in wanted.items():
        with noted() as sent:
            page = post_list.list_posts(person.principal, which, limit=10, sort=sort)
            if page.next_cursor:
                post_list.list_posts(person.principal, which, limit=10, sort=sort, cursor=page.next_cursor)
        db.session.rollback()
        walks = [(words, values) for words, values in sent if "posts" in words and "ORDER BY" in words]
        plans = [plan(words, values) for words, values in walks if "LIMIT" in words]
        wrong |= {(which, how): index for how in plans if index not in how or "Sort" in how}
        assert plans

    assert wrong == {}
