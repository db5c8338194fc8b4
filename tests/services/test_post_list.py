"""Which posts a filter names, on both databases, and that pages together are the whole of them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app.exceptions import ValidationError
from app.models import Channel, Post, Video, page
from app.models.base import first_id
from app.services import post_list
from app.services.post_list import Filter
from tests.factories import Person, make_channel, make_person, make_post, make_video

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NUMBERS = itertools.count(1)
pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def person(context: Flask) -> Person:
    assert context
    return make_person()


@pytest.fixture
def video(person: Person) -> Video:
    return make_video(person.workspace_id)


@pytest.fixture
def channel(person: Person) -> Channel:
    return make_channel(person.workspace_id)


def made(video: Video, *channels: Channel, at: datetime = NOON, **columns: Any) -> Post:
    """Make a post whose id was made a moment before its row, as it is when one is stored."""
    columns["id"] = uuid.UUID(int=first_id(at - timedelta(milliseconds=3)).int + next(NUMBERS))
    return make_post(video, *channels, created_at=at, **columns)


def pages(
    person: Person, which: Filter, *, limit: int = 2, sort: str = "-created_at"
) -> Iterator[list[Post]]:
    cursor = None
    while True:
        found = post_list.list_posts(person.principal, which, limit=limit, cursor=cursor, sort=sort)
        yield list(found.data)
        cursor = found.next_cursor
        if cursor is None:
            return


def ids(person: Person, which: Filter, **how: Any) -> list[Any]:
    return [post.id for each in pages(person, which, **how) for post in each]


@pytest.mark.parametrize("label", ["bakery", "Brötchen 🥐", 'a "quoted" \\ one', "100%", "7", "null"])
def test_a_label_is_meant_exactly(person: Person, video: Video, label: str) -> None:
    for labels in ([], [f"{label}s"], [f"[{label}]"], ["other"]):
        made(video, labels=labels)
    wanted = [made(video, labels=labels) for labels in ([label], ["other", label])]
    made(make_video(make_person().workspace_id), labels=[label])

    assert ids(person, Filter(label=label)) == [post.id for post in reversed(wanted)]


def test_a_post_is_found_by_any_of_its_channels_whether_they_have_few_or_many(
    person: Person, video: Video, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_channel(person.workspace_id)
    wanted = [made(video, channel), made(video, other, channel), made(video, channel, status="failed")]
    made(video, other)

    for few in (500, 2):
        monkeypatch.setattr(post_list, "FEW", few)
        upwards = ids(person, Filter(channel_id=channel.id), sort="created_at")
        assert upwards == [post.id for post in wanted]
        assert ids(person, Filter(channel_id=channel.id)) == upwards[::-1]
        assert ids(person, Filter(channel_id=channel.id, status="failed")) == upwards[2:]


@pytest.mark.parametrize("few", [500, 0])
def test_a_channel_of_another_workspace_has_no_posts(
    person: Person, channel: Channel, video: Video, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(post_list, "FEW", few)
    made(video, channel)

    assert ids(make_person(), Filter(channel_id=channel.id)) == []


def test_the_end_of_a_time_is_outside_of_it_and_its_beginning_inside(person: Person, video: Video) -> None:
    minute = timedelta(minutes=1)
    made(video, at=NOON - timedelta(microseconds=1))
    wanted = [made(video, at=NOON), made(video, at=NOON + minute - timedelta(microseconds=1))]
    made(video, at=NOON + minute)

    assert ids(person, Filter(created_from=NOON, created_to=NOON + minute)) == [
        post.id for post in wanted[::-1]
    ]
    assert (
        len(ids(person, Filter(created_from=NOON))) == len(ids(person, Filter(created_to=NOON + minute))) == 3
    )
    assert ids(person, Filter(created_from=NOON + minute, created_to=NOON)) == []


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_time_at_the_edge_of_the_calendar_is_one(person: Person, video: Video, year: int) -> None:
    made(video)
    edge = datetime(year, 1, 1, tzinfo=UTC)

    assert len(ids(person, Filter(created_from=edge))) == (year < 2026)
    assert len(ids(person, Filter(created_to=edge))) == (year > 2026)


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_however_few_rows_are_looked_at_for_a_page_all_are_found_once(
    person: Person, video: Video, monkeypatch: pytest.MonkeyPatch, most: int, sort: str
) -> None:
    monkeypatch.setattr(page, "MOST_LOOKED_AT", most)
    posts = [made(video, at=NOON + timedelta(minutes=n), labels=["a"] * (n % 3 == 0)) for n in range(7)]

    found = [*pages(person, Filter(label="a"), limit=2, sort=sort)]

    upwards = [posts[0].id, posts[3].id, posts[6].id]
    assert [post.id for each in found for post in each] == (
        upwards if sort == "created_at" else upwards[::-1]
    )
    assert max(map(len, found)) <= 2
    assert len(found) <= 7 // most + 2


def test_a_post_that_is_made_between_two_pages_neither_hides_nor_repeats_another(
    person: Person, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_LOOKED_AT", 2)
    posts = [made(video, at=NOON + timedelta(minutes=n), labels=["a"]) for n in range(4)]
    found = []

    for each in pages(person, Filter(label="a"), limit=2):
        made(video, at=NOON + timedelta(hours=1), labels=["a"])
        found += [post.id for post in each]

    assert found == [post.id for post in reversed(posts)]


def test_a_cursor_of_another_list_is_refused(person: Person) -> None:
    for which in (Filter(), Filter(label="a")):
        with pytest.raises(ValidationError) as caught:
            post_list.list_posts(person.principal, which, limit=2, cursor="WzEsMl0")
        assert list(caught.value.details) == ["cursor"]
