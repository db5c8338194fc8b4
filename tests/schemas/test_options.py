"""Options of platforms: shown by name and kind, read as any object."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError, fields

from app.platforms import registry
from app.platforms.base import Option
from app.schemas import options
from app.schemas.posts import NewPostSchema


def given(value: Any) -> Any:
    body = {"targets": [{"channel_id": "01935d2f-6c1e-7c4a-9b57-2f4a7d8e9c10"}], "options": value}
    return NewPostSchema().load(body)["options"]


def test_every_option_of_every_platform_is_shown() -> None:
    shown = options.post_options().schema.fields

    assert {name: set(field.schema.fields) for name, field in shown.items()} == {
        name: {option.name for option in adapter.options} for name, adapter in registry.classes().items()
    }
    every = {option.name for adapter in registry.classes().values() for option in adapter.options}
    assert set(options.target_options().schema.fields) == every


def test_what_the_platform_would_refuse_is_left_to_it() -> None:
    odd = {"tiktok": {"privacy_level": 7, "unknown": True}}

    assert given(odd) == odd


@pytest.mark.parametrize("value", ["text", {"tiktok": "text"}, {"tiktok": None}, None, []])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        given(value)

    assert set(refused.value.normalized_messages()) == {"options"}


def test_an_option_that_platforms_take_differently_may_hold_any_value() -> None:
    same = [("One", Option("mode", "string", "Or so.")), ("Two", Option("mode", "string", "So."))]
    other = [*same, ("Three", Option("mode", "integer", "How much."))]

    assert [type(options._shared(each)) for each in (same, other)] == [fields.String, fields.Raw]
