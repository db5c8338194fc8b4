"""An account that may post nothing pauses its channel; its queue waits instead of failing post by post."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Channel, Event, Target
from app.platforms.base import Rejected
from app.services import settling
from app.services.publishing import Loaded
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")


def target_of(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


def trouble(**facts: Any) -> PlatformAPIError:
    return PlatformAPIError("trouble", platform="tiktok", kind="account", **facts)


def blocked() -> PlatformAPIError:
    return trouble(details={"blocked": True}, platform_code="banned")


@pytest.mark.parametrize(
    ("kind", "state", "outcome", "after"),
    [
        ("preflight", "staged", blocked(), "staged"),
        ("commit", "publishing", blocked(), "staged"),
        ("locate", "confirming", Rejected(blocked()), "scheduled"),
    ],
)
def test_a_blocked_account_pauses_its_channel_and_the_post_waits_with_it(
    claimed: Claimed, kind: Any, state: str, outcome: Any, after: str
):
    committed_at = None if state == "staged" else clock.now()
    item = replace(claimed(state, committed_at=committed_at), kind=kind)

    settling.settle([(item, outcome)])
    settling.settle([(item, outcome)])

    target = target_of(item)
    assert (target.state, target.hold) == (after, "paused")
    assert (target.error or {})["platform_code"] == "banned"
    (told,) = db.session.scalars(select(Event).where(Event.type == "channel.paused"))
    assert (told.subject_id, told.data["reason"]) == (item.channel_id, "account_blocked")
    assert (told.data["platform_code"], told.data["message"]) == ("banned", "trouble")


def test_the_other_posts_of_a_blocked_account_wait_too(claimed: Claimed):
    item = replace(claimed("staged"), kind="preflight")
    other = claimed("scheduled", channel_id=item.channel_id)

    settling.settle([(item, blocked())])

    assert (target_of(other).state, target_of(other).hold) == ("scheduled", "paused")


def test_a_post_that_may_have_been_taken_for_spam_is_not_made_again_when_the_channel_resumes(
    claimed: Claimed,
):
    item = claimed("confirming", committed_at=clock.now(), error={"platform_code": "4/51"})

    settling.settle([(item, Rejected(blocked()))])

    assert target_of(item).state == "failed"
    assert db.session.get_one(Channel, item.channel_id).paused_at is not None


def test_one_post_the_account_may_not_make_pauses_nothing(claimed: Claimed):
    item = replace(claimed("staged"), kind="preflight")

    settling.settle([(item, trouble())])

    assert target_of(item).state == "failed"
    assert db.session.get_one(Channel, item.channel_id).paused_at is None
