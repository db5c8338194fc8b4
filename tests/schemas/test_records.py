"""Schemas made of records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Literal

import pytest
from marshmallow import fields

from app.schemas.records import record_schema


@dataclass(frozen=True)
class Limit:
    name: str
    kind: Literal["app", "channel"]
    sizes: tuple[int, ...]
    window: timedelta | None = None


@dataclass(frozen=True)
class Odd:
    inner: Limit


def test_a_record_is_shown_with_its_own_names_and_types() -> None:
    schema = record_schema(Limit, "Limit", "A limit.", without={"window"})()

    assert schema.dump(asdict(Limit("posts", "app", (1, 2)))) == {
        "name": "posts",
        "kind": "app",
        "sizes": [1, 2],
    }
    assert {name: type(field) for name, field in schema.fields.items()} == {
        "name": fields.String, "kind": fields.String, "sizes": fields.List,
    }  # fmt: skip
    assert (type(schema).__name__, schema.__doc__) == ("LimitSchema", "A limit.")


@pytest.mark.parametrize(("stored", "required"), [(False, True), (True, False)])
def test_only_a_stored_record_may_lack_what_has_a_default(*, stored: bool, required: bool) -> None:
    found = record_schema(Limit, "Limit", "A limit.", stored=stored)().fields

    assert (found["name"].required, found["window"].required) == (True, required)
    assert found["window"].allow_none


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no plain form"):
        record_schema(Odd, "Odd", "Odd.")
