"""What Meta's headers tell of the calls used, who believes what of it, and what waits because of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app import clock
from app.exceptions import PlatformRateLimitError
from app.platforms._meta_usage import ACCOUNT, APP, Room, Usage, of_account, of_app
from app.platforms.base import Platform, PublishRequest, Staged
from tests.platforms import test_facebook, test_instagram
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.sandbox_server import Sim

MINUTE = timedelta(minutes=1)


def app_told(**told: Any) -> dict[str, str]:
    return {"X-App-Usage": json.dumps(told)}


def account_told(*entries: Any) -> dict[str, str]:
    return {"X-Business-Use-Case-Usage": json.dumps({"17": entries})}


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ('{"call_count":16,"total_cputime":15,"total_time":97.5}', Usage(97.5, None)),
        ('{"call_count":"99"}', Usage(0, None)),
        ('{"call_count":true}', Usage(0, None)),
        ('{"call_count":-5}', Usage(0, None)),
        ('{"call_count":NaN}', Usage(0, None)),
        ('{"call_count":1e400}', Usage(0, None)),
        ('{"another":99}', None),
        ("[99]", None),
        ("garbage", None),
        ("", None),
        ("[" * 9_000, None),
        ('{"call_count":99,"more":"' + "x" * 10_000 + '"}', None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_only_plain_numbers_in_their_place_are_the_apps_usage(value: str, usage: Usage | None) -> None:
    assert of_app({"X-App-Usage": value}) == usage


@pytest.mark.parametrize(
    ("entries", "usage"),
    [
        ([{"type": "pages", "call_count": 40}, {"type": "instagram", "total_time": 96}], Usage(96, None)),
        ([{"call_count": 100, "estimated_time_to_regain_access": 7}], Usage(100, 7 * MINUTE)),
        ([{"call_count": 1, "estimated_time_to_regain_access": 999_999}], Usage(1, timedelta(hours=24))),
        ([{"type": "ads_management", "call_count": 100}], None),
        ([7, "x", None], None),
        ([], None),
    ],
    ids=str,
)
def test_an_accounts_usage_is_the_highest_of_what_concerns_posting(
    entries: list[Any], usage: Usage | None
) -> None:
    assert of_account(account_told(*entries)) == usage


def test_an_account_without_calls_left_leaves_others_theirs_and_an_app_none() -> None:
    room = Room(pace=1.0)
    room.note("one", account_told({"call_count": 95, "estimated_time_to_regain_access": 30}))
    closed, other = room.closed("one"), room.closed("two")
    room.note("two", app_told(call_count=95))
    assert closed is not None and closed[0] == ACCOUNT
    assert other is None
    assert [found and found[0] for found in map(room.closed, ("one", "two"))] == [ACCOUNT, APP]


@pytest.mark.parametrize(("usage", "is_closed"), [(94.9, False), (95, True)])
def test_calls_are_used_up_shortly_before_the_limit(usage: float, is_closed: bool) -> None:  # noqa: FBT001
    room = Room(pace=1.0)
    room.note("one", app_told(call_count=usage))
    assert (room.closed("one") is not None) == is_closed


def test_what_is_told_later_counts_and_silence_changes_nothing() -> None:
    with time_machine.travel("2026-11-23T12:00:00Z", tick=False) as travel:
        room = Room(pace=1.0)
        room.note("one", app_told(call_count=100))
        room.note("one", {})
        assert room.closed("one") == (APP, clock.now() + 15 * MINUTE)
        travel.shift(15 * MINUTE)
        assert room.closed("one") is None
        room.note("one", app_told(call_count=100))
        room.note("one", app_told(call_count=20))
        assert room.closed("one") is None


def test_what_is_over_is_not_kept_for_ever() -> None:
    with time_machine.travel("2026-11-23T12:00:00Z", tick=False) as travel:
        room = Room(pace=1.0)
        for number in range(100):
            room.note(str(number), account_told({"call_count": 99}))
        travel.shift(timedelta(hours=1))
        room.note("100", account_told({"call_count": 99}))
    assert len(room._until) == 1


@pytest.fixture(params=["facebook", "instagram"])
def staging(request: pytest.FixtureRequest, make_registry: RegistryMaker, sim: Sim) -> Any:
    """An adapter and a post to stage, of each of Meta's platforms."""
    case = {"facebook": test_facebook, "instagram": test_instagram}[request.param].CASE
    token = sim.token(platform=case.name, scopes=sorted(case.scopes))
    return make_registry().get(case.name), make_request(case, token, some_bytes(20_000))


@pytest.mark.parametrize(
    ("told", "bucket", "minutes"),
    [
        ({"app_usage": 97.0}, "app_calls", 15),
        ({"account_usage": 97.0}, "calls", 15),
        ({"account_usage": 100.0, "regain_minutes": 40}, "calls", 40),
    ],
)
def test_a_staging_waits_before_the_limit_and_goes_on_where_it_was(
    staging: tuple[Platform, PublishRequest], sim: Sim, told: dict[str, Any], bucket: str, minutes: int
) -> None:
    platform, post = staging
    saved = test_facebook.Saved()
    sim.settings(**told)
    with pytest.raises(PlatformRateLimitError) as waits:
        platform.stage(post, None, saved)
    sim.settings(app_usage=1.0, account_usage=1.0, regain_minutes=0)
    outcome = platform.stage(post, saved[-1], saved)
    assert (waits.value.kind, waits.value.details["bucket"]) == ("rate", bucket)
    assert waits.value.retry_at is not None
    assert abs(waits.value.retry_at - clock.now() - minutes * MINUTE) < MINUTE
    assert isinstance(outcome, Staged)
    assert len(sim.call("GET", "uploads")["uploads"]) == 1


def test_a_new_upload_asks_whether_calls_are_left(staging: tuple[Platform, PublishRequest], sim: Sim) -> None:
    platform, post = staging
    asked: list[str] = []
    platform.stage(
        replace(post, reserve=lambda bucket, _cost: asked.append(bucket)), None, test_facebook.Saved()
    )
    assert [bucket for bucket in asked if "calls" in bucket] == ["app_calls", "calls"]


@pytest.mark.parametrize(
    ("code", "bucket"), [(4, "app_calls"), (80001, "calls"), (80002, "calls"), (613, None)]
)
def test_a_refusal_for_too_many_calls_says_whose(
    staging: tuple[Platform, PublishRequest], sim: Sim, code: int, bucket: str | None
) -> None:
    platform, post = staging
    operation = {"facebook": "facebook.start", "instagram": "instagram.container"}[platform.name]
    sim.fault(operation, "status", status=400, body={"error": {"message": "", "code": code}})
    with pytest.raises(PlatformRateLimitError) as refused:
        platform.stage(post, None, test_facebook.Saved())
    assert refused.value.details.get("bucket") == bucket
    assert bucket is None or bucket in [quota.bucket for quota in platform.quotas]
