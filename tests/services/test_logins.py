"""Ways to connect: which one is taken, and what is said of those that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from app.exceptions import PlatformValidationError
from app.platforms.base import Login, Platform
from app.platforms.registry import Registry
from app.platforms.tiktok import TikTok
from app.services import logins

WAYS = (
    Login("by_phone", "Login by phone", ("CLIENT_KEY", "CLIENT_SECRET")),
    Login("by_letter", "Login by letter", ("SCOPES", "WEB_URL")),
)


def adapter(**settings: str) -> Platform:
    return Registry({"tiktok": settings}, public_url="http://127.0.0.1:8000").get("tiktok")


def choose(platform: Platform, login: str | None = None, **given: Any) -> str:
    return logins.choose(platform, **({"login": login, "server": "", "credentials": None} | given))


def refusal(platform: Platform, login: str | None = None, **given: Any) -> dict[str, Any]:
    with pytest.raises(PlatformValidationError) as refused:
        choose(platform, login, **given)
    return refused.value.details


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TikTok, "logins", WAYS)


def test_where_there_is_one_way_nothing_is_to_be_chosen() -> None:
    platform = adapter(CLIENT_KEY="k", CLIENT_SECRET="s")

    assert choose(platform) == ""
    assert list(refusal(platform, "by_phone")) == ["login"]


def test_what_is_not_set_up_names_its_settings() -> None:
    assert refusal(adapter()) == {
        "platform": [
            "TikTok is not set up on this installation. Set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET."
        ]
    }


@pytest.mark.usefixtures("ways")
def test_the_one_asked_for_is_taken_else_the_first_that_is_set_up() -> None:
    both, second = adapter(CLIENT_KEY="k", CLIENT_SECRET="s"), adapter()

    assert [choose(both), choose(both, "by_letter"), choose(second)] == ["by_phone", "by_letter", "by_letter"]


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("by_owl", "'by_owl' is not a login of TikTok. Usable here: by_letter."),
        (
            "by_phone",
            "Login by phone is not set up on this installation. "
            "Set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET. Usable here: by_letter.",
        ),
    ],
)
def test_a_login_that_is_not_there_is_refused_with_those_that_are(login: str, said: str) -> None:
    assert refusal(adapter(), login) == {"login": [said]}


def test_without_any_login_set_up_each_ones_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TikTok, "logins", (WAYS[0], Login("by_key", "By key", ("CLIENT_KEY",))))

    (said,) = refusal(adapter())["platform"]

    assert said.endswith("Set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET, or TIKTOK_CLIENT_KEY.")


def test_servers_and_credentials_are_not_for_these_platforms() -> None:
    platform = adapter(CLIENT_KEY="k", CLIENT_SECRET="s")

    assert sorted(refusal(platform, server="https://x.example", credentials={"a": "b"})) == [
        "credentials",
        "server",
    ]


@pytest.mark.usefixtures("ways")
def test_platforms_tell_their_ways_and_the_addresses_to_paste() -> None:
    platforms = Registry({}, public_url="https://video.example/")

    told = platforms.describe("tiktok")

    assert [(way["name"], way["configured"]) for way in told["logins"]] == [
        ("by_phone", False),
        ("by_letter", True),
    ]
    assert told["callbacks"]["webhook"] == "https://video.example/api/v1/platforms/tiktok/webhook"
    assert told["callback_url"] == "https://video.example/api/v1/connections/callback"
