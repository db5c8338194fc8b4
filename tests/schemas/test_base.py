from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from app.models.page import Page
from app.schemas.base import Instant, PageQuerySchema, Schema, page_schema


class MomentSchema(Schema):
    at = Instant()
    note = fields.String()
    details = fields.Dict()


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", {"deep": ["\0"]}, {"\0": 1}], ids=["nul", "surrogate", "deep", "key"]
)
def test_text_no_database_can_hold_is_refused_under_its_field(value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        MomentSchema().load({"details": value} if isinstance(value, dict) else {"note": value})

    assert list(refusal.value.messages) == ["details" if isinstance(value, dict) else "note"]


def test_ordinary_text_passes() -> None:
    text = "Grüße 👩‍👩‍👧 \t\n"

    assert MomentSchema().load({"note": text, "details": {"a": [1, None]}})["note"] == text


def test_unknown_fields_and_naive_times_are_refused() -> None:
    with pytest.raises(ValidationError) as refusal:
        MomentSchema().load({"at": "2026-11-23T12:00:00", "colour": "red"})

    assert sorted(refusal.value.messages) == ["at", "colour"]


def test_times_are_written_in_utc_with_a_z() -> None:
    noon = datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1)))

    assert MomentSchema().dump({"at": noon})["at"] == "2026-11-23T12:00:00Z"
    assert MomentSchema().load({"at": "2026-11-23T13:00:00+01:00"})["at"] == datetime(
        2026, 11, 23, 12, tzinfo=UTC
    )


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1e9"])
def test_a_page_has_one_to_a_hundred_rows(limit: str) -> None:
    with pytest.raises(ValidationError):
        PageQuerySchema().load({"limit": limit})
    assert PageQuerySchema().load({}) == {"limit": 50, "cursor": None}


def test_a_page_is_data_beside_its_pagination() -> None:
    page = Page([{"note": "one"}], "next")

    assert page_schema(MomentSchema)().dump(page) == {
        "data": [{"note": "one"}],
        "pagination": {"next_cursor": "next", "has_more": True},
    }
