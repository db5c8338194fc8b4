"""Quotas reserved for the day a commit is due, and limits of which the platform tells no number."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock
from app.exceptions import PlatformRateLimitError
from app.extensions import db
from app.models import QuotaWindow
from app.platforms.base import UNTOLD, Platform, Quota
from app.services import quotas
from app.services.platforms import registry
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")
DAY = timedelta(hours=24)
POSTS = Quota("posts", 2, DAY, "channel", "the test", phase="commit")
CALLS = Quota("calls", 5, DAY, "app", "the test", timezone="America/Los_Angeles", posts=False)
RATE = Quota("rate", 1, timedelta(minutes=1), "channel", "the test", posts=False)


@pytest.fixture
def platform(context: Flask) -> Platform:
    """An adapter of this app, with quotas of the test's own."""
    found = registry().get("tiktok")
    found.quotas = (POSTS, CALLS, RATE)
    return found


def test_units_of_a_commit_are_taken_from_the_day_it_is_due(platform: Platform) -> None:
    channel_id, tomorrow = uuid.uuid4(), clock.now() + DAY
    ahead = quotas.reserving(platform, channel_id, due_at=tomorrow)
    ahead("calls", 5)

    quotas.reserving(platform, channel_id)("calls", 5)
    with pytest.raises(PlatformRateLimitError) as full:
        ahead("calls", 1)

    rows = db.session.execute(select(QuotaWindow.used, QuotaWindow.ends_at)).all()
    assert [used for used, _ in rows] == [5, 5]
    assert full.value.retry_at == max(ends_at for _, ends_at in rows)
    assert full.value.retry_at > tomorrow


def test_a_commit_that_is_late_takes_the_units_of_today(platform: Platform) -> None:
    quotas.reserving(platform, uuid.uuid4(), due_at=clock.now() - DAY)("calls", 5)

    with pytest.raises(PlatformRateLimitError):
        quotas.reserving(platform, uuid.uuid4())("calls", 1)


def test_a_window_without_a_calendar_is_not_reserved_ahead(platform: Platform) -> None:
    channel_id = uuid.uuid4()
    quotas.reserving(platform, channel_id, due_at=clock.now() + DAY)("rate", 1)

    with pytest.raises(PlatformRateLimitError):
        quotas.reserving(platform, channel_id)("rate", 1)


def test_a_limit_the_platform_keeps_to_itself_is_closed_by_its_word_alone(
    claimed: Claimed, platform: Platform
) -> None:
    platform.quotas = (POSTS, Quota("drafts", UNTOLD, timedelta(minutes=30), "channel", "the test"))
    item, until = claimed("staging"), clock.now() + timedelta(minutes=30)
    error = PlatformRateLimitError(
        platform="tiktok", kind="rate", details={"bucket": "drafts"}, retry_at=until
    )
    reserve = quotas.reserving(platform, item.channel_id)
    reserve("drafts", 1)

    quotas.fill([(item, error)])
    db.session.commit()

    with pytest.raises(PlatformRateLimitError) as refused:
        reserve("drafts", 1)
    assert (refused.value.kind, refused.value.retry_at) == ("rate", until)
    assert refused.value.details["limit"] is None
    assert str(UNTOLD) not in refused.value.message
    reserve("posts", 1)
    quotas.reserving(platform, uuid.uuid4())("drafts", 1)


def test_what_is_left_of_an_untold_limit_is_told_only_while_there_is_nothing(
    claimed: Claimed, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "configured", lambda _settings: True)
    platform.quotas = (Quota("drafts", UNTOLD, timedelta(minutes=30), "app", "the test", posts=False),)
    item = claimed("staging")
    quotas.reserving(platform, item.channel_id)("drafts", 1)
    assert ("tiktok", "drafts") not in quotas.left()

    quotas.fill([(item, PlatformRateLimitError(platform="tiktok", details={"bucket": "drafts"}))])

    assert quotas.left()[("tiktok", "drafts")] == 0
