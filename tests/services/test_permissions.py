from __future__ import annotations

from typing import Any

import pytest

from app.platforms import registry
from app.platforms.base import Platform
from app.platforms.registry import Registry
from app.platforms.tiktok import TikTok
from app.services import permissions

NEEDS = {
    "": frozenset({"post", "post.all"}),
    "first_comment": frozenset({"comment"}),
    "mode=direct": frozenset({"publish"}),
}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(TikTok, "scope_for", NEEDS)
    return Registry({}, public_url="http://127.0.0.1:8000").get("tiktok")


@pytest.mark.parametrize(
    ("granted", "options", "fields"),
    [
        ({"post", "comment", "publish"}, {"first_comment": "Hi", "mode": "direct"}, []),
        ({"post.all"}, {"mode": "inbox"}, []),
        ({"post"}, {"first_comment": "Hi"}, ["options.first_comment"]),
        ({"post"}, {"first_comment": ""}, []),
        ({"post"}, {"mode": "direct"}, ["options.mode"]),
        ({"comment"}, {}, ["channel_id"]),
        (set(), {"first_comment": "Hi"}, []),
    ],
    ids=["all there", "any one will do", "comment", "no comment", "mode", "posting at all", "not known"],
)
def test_what_is_chosen_needs_its_permission(
    platform: Platform, granted: set[str], options: dict[str, Any], fields: list[str]
) -> None:
    found = list(permissions.problems(platform, options, granted=granted))

    assert [field for field, _ in found] == fields


def test_a_missing_permission_is_named_with_what_to_do(platform: Platform) -> None:
    ((_, said),) = permissions.problems(platform, {"first_comment": "Hi"}, granted={"post"})

    assert said == (
        "TikTok was not given the permission this needs (comment). "
        "Reconnect the channel and allow it, or leave first_comment out."
    )


@pytest.mark.parametrize("name", registry.names())
def test_permissions_are_declared_for_options_there_are(name: str) -> None:
    adapter = registry.get_class(name)

    named = {what.partition("=")[0] for what in adapter.scope_for} - {""}

    assert named <= {option.name for option in adapter.options}
