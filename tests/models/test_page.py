from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Select, select

from app.exceptions import ValidationError
from app.extensions import db
from app.models import ApiKey
from app.models.page import Column, paginate
from tests.factories import Person, make_person

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("database_url")


def make_keys(person: Person, expiries: list[datetime | None]) -> None:
    for number, expires_at in enumerate(expiries):
        db.session.add(
            ApiKey(
                workspace_id=person.workspace_id,
                name=f"key {number}",
                public_id=uuid.uuid4().hex,
                secret_hash="",
                expires_at=expires_at,
            )
        )
        db.session.flush()  # one at a time: ids rise
    db.session.commit()


def walk(query: Select[ApiKey], *, by: tuple[Column, ...], limit: int, newest_first: bool) -> list[str]:
    names, cursor = [], None
    while True:
        page = paginate(query, by=by, limit=limit, cursor=cursor, newest_first=newest_first)
        names += [row.name for row in page.data]
        cursor = page.next_cursor
        if cursor is None:
            return names


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_together_are_the_whole_list_in_order(
    context: Flask, limit: int, *, newest_first: bool
) -> None:
    make_keys(make_person(), [NOON, NOON, NOON + timedelta(hours=1), None, NOON, None, NOON - timedelta(1)])

    by_id = walk(select(ApiKey), by=(ApiKey.id,), limit=limit, newest_first=newest_first)
    by_expiry = walk(
        select(ApiKey), by=(ApiKey.expires_at, ApiKey.id), limit=limit, newest_first=newest_first
    )

    upwards = ["key 6", "key 0", "key 1", "key 4", "key 2"]
    assert by_id == [f"key {n}" for n in (reversed(range(7)) if newest_first else range(7))]
    assert by_expiry == (
        [*reversed(upwards), "key 5", "key 3"] if newest_first else [*upwards, "key 3", "key 5"]
    )


def test_rows_added_meanwhile_shift_nothing(context: Flask) -> None:
    person = make_person()
    make_keys(person, [NOON, NOON, NOON])
    first = paginate(select(ApiKey), by=(ApiKey.created_at, ApiKey.id), limit=2)
    make_keys(person, [NOON])

    second = paginate(select(ApiKey), by=(ApiKey.created_at, ApiKey.id), limit=2, cursor=first.next_cursor)

    assert [row.name for row in first.data] == ["key 2", "key 1"]
    assert [row.name for row in second.data] == ["key 0"]
    assert second.pagination == {"next_cursor": None, "has_more": False}


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_broken_or_foreign_cursor_is_refused(context: Flask) -> None:
    make_keys(make_person(), [NOON, NOON])
    cursor = paginate(select(ApiKey), by=(ApiKey.created_at, ApiKey.id), limit=1).next_cursor
    assert cursor
    tag, when, id_ = json.loads(base64.urlsafe_b64decode(cursor + "=="))

    broken = ["x", "é", "[]", cursor[:-3], encoded([]), encoded({}), encoded([tag]), encoded([tag, when, 5])]
    broken += [encoded([tag, when[:-1], id_]), encoded([tag + 1, when, id_]), encoded([tag, None, id_])]
    broken += [encoded([tag, "\0", id_]), base64.urlsafe_b64encode(b"[" * 100_000).decode()]

    for found in broken:
        with pytest.raises(ValidationError) as refusal:
            paginate(select(ApiKey), by=(ApiKey.created_at, ApiKey.id), limit=1, cursor=found)
        assert list(refusal.value.details) == ["cursor"]
    with pytest.raises(ValidationError):
        paginate(select(ApiKey), by=(ApiKey.id,), limit=1, cursor=cursor)
