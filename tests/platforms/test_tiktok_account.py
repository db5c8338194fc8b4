"""TikTok's accounts: settings, consent, what may be posted, figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms.base import UNTOLD, Platform, PublishRequest, Stats
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import MemorySource, make_request, some_bytes
from tests.platforms.test_tiktok import CASE, Saved, make_account, post
from tests.sandbox_server import Sim


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(scopes=sorted(CASE.scopes)), some_bytes(20_000))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIKTOK_AUDITED", "maybe"),
        ("TIKTOK_CHUNK_SIZE", "4999999"),
        ("TIKTOK_DAILY_POSTS", "0"),
        ("TIKTOK_INITS_PER_MINUTE", "six"),
    ],
)
def test_a_wrong_setting_is_named(make_registry: RegistryMaker, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        make_registry(**{name: value})


def test_the_limits_are_settings(make_registry: RegistryMaker) -> None:
    platform = make_registry(TIKTOK_DAILY_POSTS="20", TIKTOK_INITS_PER_MINUTE="").get("tiktok")
    found = [(quota.bucket, quota.limit, quota.phase, quota.posts) for quota in platform.quotas]
    assert found[:2] == [("init", 6, "stage", False), ("posts", 20, "commit", True)]
    assert {quota[1] for quota in found[2:]} == {UNTOLD}


# -- connecting


def test_a_subset_of_scopes_without_posting_is_refused(
    tiktok: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"access_token": "a", "refresh_token": "r", "expires_in": 60, "scope": "user.info.basic"}
    monkeypatch.setattr("app.platforms.oauth.post_form", lambda *_, **__: answer)
    with pytest.raises(PlatformAuthError, match="did not allow posting"):
        tiktok.exchange(params={"code": "c"}, verifier="v")


def test_the_user_name_comes_from_creator_info_without_the_profile_scope(tiktok: Platform, sim: Sim) -> None:
    scopes = ["user.info.basic", "video.publish"]
    token = sim.token(scopes=scopes)
    tokens = replace(tiktok.refresh(token["refresh_token"]), scopes=frozenset(scopes))
    (account,) = tiktok.accounts(tokens)
    assert (account.remote_id, account.username) == (token["remote_id"], "sandbox_creator")


# -- what the account may post


def test_what_the_account_offers_is_told_as_choices(tiktok: Platform, sim: Sim) -> None:
    sim.account(
        "sandbox_creator", platform="tiktok", duet_disabled=True, private=True, max_duration_seconds=60
    )
    found = tiktok.posting_options(make_account(sim))
    assert found.choices == {
        "mode": ["inbox", "direct"],
        "privacy_level": ["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
    }
    assert (found.disabled, found.max_duration_seconds) == (["allow_duet"], 60)


def test_before_the_audit_only_oneself_can_be_chosen(make_registry: RegistryMaker, sim: Sim) -> None:
    found = make_registry(TIKTOK_AUDITED="false").get("tiktok").posting_options(make_account(sim))
    assert found.choices["privacy_level"] == ["SELF_ONLY"]


def test_without_the_scope_for_direct_posts_only_drafts_are_offered(tiktok: Platform, sim: Sim) -> None:
    found = tiktok.posting_options(make_account(sim, scopes=["user.info.basic", "video.upload"]))
    assert found.choices == {"mode": ["inbox"]}
    assert sim.requests(operation="tiktok.creator_info") == []


def test_used_up_posts_are_told_with_the_time_they_return(tiktok: Platform, sim: Sim) -> None:
    sim.account("sandbox_creator", cannot_post="spam_risk_too_many_posts")
    found = tiktok.posting_options(make_account(sim))
    assert found.posts_left == 0
    assert found.resets_at is not None and found.resets_at > clock.now() + timedelta(hours=23)


def test_an_account_that_may_not_post_at_all_is_an_error(tiktok: Platform, sim: Sim) -> None:
    sim.account("sandbox_creator", cannot_post="spam_risk_user_banned_from_posting")
    with pytest.raises(PlatformAPIError) as refused:
        tiktok.posting_options(make_account(sim))
    assert refused.value.kind == "account"


@pytest.mark.parametrize(
    "junk", [{"privacy_level_options": "ALL"}, {"max_video_post_duration_sec": True}, {}]
)
def test_a_strange_answer_about_the_account_offers_nothing(
    tiktok: Platform, sim: Sim, junk: dict[str, Any]
) -> None:
    answer = {"data": junk, "error": {"code": "ok"}}
    sim.fault("tiktok.creator_info", "status", status=200, body=answer)
    found = tiktok.posting_options(make_account(sim))
    assert (found.choices["privacy_level"], found.max_duration_seconds) == ([], None)


# -- figures


def test_the_figures_of_a_post_are_told_under_its_id(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    post(tiktok, request_)
    (made,) = sim.posts()
    found = tiktok.stats(request_.account, [made["id"], "7000000000000000001"])
    assert found == {made["id"]: Stats(views=0, likes=0, comments=0, shares=0)}


def test_figures_of_a_wrong_type_are_not_told(tiktok: Platform, sim: Sim, request_: PublishRequest) -> None:
    videos = [{"id": "7", "view_count": "many", "like_count": -1, "comment_count": True, "share_count": 3}, 9]
    answer = {"data": {"videos": videos}, "error": {"code": "ok"}}
    sim.fault("tiktok.video_query", "status", status=200, body=answer)
    assert tiktok.stats(request_.account, ["7"]) == {"7": Stats(shares=3)}


def test_without_the_scope_to_list_no_figures_are_asked_for(tiktok: Platform, sim: Sim) -> None:
    account = make_account(sim, scopes=["user.info.basic", "video.publish"])
    assert tiktok.stats(account, ["7"]) == {}
    assert sim.requests(operation="tiktok.video_query") == []


# -- limits


def test_each_announcement_is_counted_before_it_is_made(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    counted: list[tuple[str, int, int]] = []

    def reserve(bucket: str, cost: int) -> None:
        if bucket == "init":
            counted.append((bucket, cost, len(sim.requests(operation="tiktok.init"))))

    sim.settings(refuse_multi_chunk=True)
    large = replace(request_, source=MemorySource(some_bytes(10_000_001)), reserve=reserve)
    tiktok.stage(large, None, Saved())
    assert counted == [("init", 1, 0), ("init", 1, 1)]


def test_a_used_up_limit_stops_the_announcement(tiktok: Platform, sim: Sim, request_: PublishRequest) -> None:
    def refuse(_bucket: str, _cost: int) -> None:
        raise PlatformRateLimitError(platform="tiktok", kind="rate")

    with pytest.raises(PlatformRateLimitError):
        tiktok.stage(replace(request_, reserve=refuse), None, Saved())
    assert sim.requests(operation="tiktok.init") == []
