"""Drafts: the same upload, ended by the account's owner in the TikTok app."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms.base import Accepted, AwaitingUser, Platform, Published, PublishRequest, Rejected
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import MemorySource, make_request, some_bytes
from tests.platforms.test_tiktok import CASE, Saved, make_account, post
from tests.sandbox_server import Sim

DAY = timedelta(hours=24)


@pytest.fixture
def unaudited(make_registry: RegistryMaker, sim: Sim) -> Platform:
    sim.settings(audited=False)
    return make_registry(TIKTOK_AUDITED="false").get("tiktok")


@pytest.fixture
def draft(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(scopes=sorted(CASE.scopes)), some_bytes(20_000), options={})


def finish(sim: Sim, **choices: str) -> dict[str, Any]:
    """Post the draft as its owner does in the app."""
    (upload,) = sim.call("GET", "uploads")["uploads"]
    return dict(sim.call("POST", f"uploads/{upload['id']}/finish", json=choices))


def test_before_the_audit_a_video_ends_in_the_inbox_and_waits_for_its_owner(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    saved = Saved()
    unaudited.stage(draft, None, saved)
    unaudited.preflight(draft, saved[-1])
    sent = unaudited.prepare_commit(draft, saved[-1]).send(10.0)
    found = unaudited.locate(draft, saved[-1])
    assert isinstance(sent, Accepted)
    assert isinstance(found, AwaitingUser) and clock.now() < found.deadline <= clock.now() + DAY
    assert (sim.count(), len(sim.requests(operation="tiktok.inbox_init"))) == (0, 1)


def test_a_large_draft_goes_in_the_same_chunks(unaudited: Platform, sim: Sim, draft: PublishRequest) -> None:
    large = replace(draft, source=MemorySource(some_bytes(CASE.stretch)))
    handle = post(unaudited, large)
    assert isinstance(unaudited.locate(large, handle), AwaitingUser)
    assert len(sim.requests(operation="tiktok.chunk")) == 2


def test_the_deadline_counts_from_the_commit_however_often_it_is_asked(
    unaudited: Platform, draft: PublishRequest
) -> None:
    handle, sent_at = post(unaudited, draft), clock.now() - timedelta(hours=5)
    found = unaudited.locate(replace(draft, committed_at=sent_at), handle)
    assert isinstance(found, AwaitingUser) and found.deadline == sent_at + DAY


def test_a_draft_its_owner_posted_is_published(unaudited: Platform, sim: Sim, draft: PublishRequest) -> None:
    handle = post(unaudited, draft)
    made = finish(sim, caption="Mine")
    assert unaudited.watch(draft, handle) == Published(made["id"], made["permalink"])


def test_a_draft_posted_for_few_is_published_without_an_id(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    handle = post(unaudited, draft)
    finish(sim, privacy="SELF_ONLY")
    found = unaudited.watch(draft, handle)
    assert isinstance(found, Published) and (found.remote_id, found.complete) == (None, False)


def test_of_a_draft_posted_twice_the_first_stays_the_post(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    handle = post(unaudited, draft)
    first, second = finish(sim), finish(sim)
    known = replace(draft, remote_id=second["id"])
    assert unaudited.locate(draft, handle) == Published(first["id"], first["permalink"])
    assert unaudited.locate(known, handle) == Published(second["id"], second["permalink"])


def test_a_posted_draft_that_was_removed_is_noticed(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    handle = post(unaudited, draft)
    made = finish(sim)
    sim.remove_post(made["id"])
    assert isinstance(unaudited.watch(replace(draft, remote_id=made["id"]), handle), Rejected)


def test_a_draft_the_platform_refuses_is_rejected(tiktok: Platform, sim: Sim, draft: PublishRequest) -> None:
    inbox = replace(draft, options={"mode": "inbox"})
    handle = post(tiktok, inbox)
    answer = {"data": {"status": "FAILED", "fail_reason": "duration_check_failed"}, "error": {"code": "ok"}}
    sim.fault("tiktok.status", "status", status=200, body=answer)
    found = tiktok.locate(inbox, handle)
    assert isinstance(found, Rejected) and found.error.kind == "media"


def test_an_audited_app_may_choose_the_inbox(tiktok: Platform, sim: Sim, draft: PublishRequest) -> None:
    assert tiktok.validate(title="", caption="", options={"mode": "inbox"}) == []
    handle = post(tiktok, replace(draft, options={"mode": "inbox"}))
    assert isinstance(tiktok.locate(draft, handle), AwaitingUser)


def test_before_the_audit_a_private_account_may_post_directly_to_itself(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    sim.account("sandbox_creator", private=True)
    direct = replace(draft, options={"mode": "direct", "privacy_level": "SELF_ONLY"})
    saved = Saved()
    unaudited.stage(direct, None, saved)
    unaudited.preflight(direct, saved[-1])
    unaudited.prepare_commit(direct, saved[-1]).send(10.0)
    assert (sim.count(), len(sim.requests(operation="tiktok.creator_info"))) == (1, 1)


def test_a_staging_that_finds_the_draft_delivered_never_begins_again(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    handle = post(unaudited, draft)
    with pytest.raises(PlatformAPIError) as doubted:
        unaudited.stage(draft, handle, Saved())
    assert doubted.value.kind == "ambiguous"
    assert len(sim.requests(operation="tiktok.inbox_init")) == 1


def test_the_sixth_waiting_draft_waits_for_room_in_the_inbox(
    unaudited: Platform, sim: Sim, draft: PublishRequest
) -> None:
    for _ in range(5):
        post(unaudited, draft)
    with pytest.raises(PlatformRateLimitError) as refused:
        unaudited.stage(draft, None, Saved())
    error = refused.value
    assert (error.kind, error.platform_code) == ("rate", "spam_risk_too_many_pending_share")
    assert error.details["bucket"] == "drafts"
    assert error.retry_at is not None and error.retry_at <= clock.now() + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("options", "buckets"),
    [
        ({"mode": "inbox"}, ["active_accounts", "drafts", "init"]),
        ({"mode": "direct", "privacy_level": "SELF_ONLY"}, ["active_accounts", "init"]),
    ],
)
def test_only_a_draft_asks_for_room_in_the_inbox(
    unaudited: Platform, sim: Sim, draft: PublishRequest, options: dict[str, str], buckets: list[str]
) -> None:
    sim.account("sandbox_creator", private=True)
    asked: list[str] = []
    unaudited.stage(
        replace(draft, options=options, reserve=lambda bucket, _cost: asked.append(bucket)), None, Saved()
    )
    assert asked == buckets


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        ({"mode": "inbox"}, "video.publish"),
        ({"mode": "direct", "privacy_level": "SELF_ONLY"}, "video.upload"),
    ],
)
def test_a_mode_the_owner_did_not_allow_is_refused_before_tiktok_is_asked(
    unaudited: Platform, sim: Sim, draft: PublishRequest, options: dict[str, str], scope: str
) -> None:
    account = make_account(sim, scopes=["user.info.basic", scope])
    with pytest.raises(PlatformAuthError) as refused:
        unaudited.stage(replace(draft, account=account, options=options), None, Saved())
    assert refused.value.platform_code == "scope_not_authorized"
    assert sim.requests(operation="tiktok.init") == sim.requests(operation="tiktok.inbox_init") == []
