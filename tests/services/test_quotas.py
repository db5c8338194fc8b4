"""Quotas: counted before each call, never above the maximum, given back once, filled by the platform's word."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import PlatformRateLimitError
from app.extensions import db
from app.models import Attempt, ChannelContent, QuotaWindow, Target
from app.platforms.base import NotCommitted, Platform, Published, Quota, Unknown
from app.services import credentials, intents, quotas, refusals, settling, staging, targets
from app.services.platforms import registry
from app.services.publishing import Loaded
from tests.factories import make_channel, make_person, make_post, make_target, make_video
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")
DAY = timedelta(hours=24)
POSTS = Quota("posts", 2, DAY, "channel", "the test", phase="commit")
CALLS = Quota("calls", 5, DAY, "app", "the test", timezone="America/Los_Angeles", posts=False)
RATE = Quota("rate", 1, timedelta(minutes=1), "channel", "the test", posts=False)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def platform(context: Flask) -> Platform:
    """An adapter of this app, with quotas of the test's own."""
    found = registry().get("tiktok")
    found.quotas = (POSTS, CALLS, RATE)
    return found


def used() -> dict[str, int]:
    db.session.rollback()
    return {row.bucket: row.used for row in db.session.execute(select(QuotaWindow.bucket, QuotaWindow.used))}


def same_channel(claimed: Claimed, count: int, **columns: Any) -> list[Loaded]:
    """Make targets ready for their commit, with contents of their own, all on the first one's channel."""
    columns |= {"preflighted_at": clock.now()}
    first = claimed("staged", **columns)
    others = [claimed("staged", channel_id=first.channel_id, **columns) for _ in range(count - 1)]
    return [first, *others]


# -- a call at a time


def test_units_are_counted_until_none_are_left(platform: Platform) -> None:
    reserve = quotas.reserving(platform, uuid.uuid4())
    reserve("calls", 3)

    with pytest.raises(PlatformRateLimitError) as caught:
        reserve("calls", 3)

    assert (caught.value.kind, caught.value.platform_code) == ("quota", "own_quota")
    assert caught.value.retry_at is not None
    assert caught.value.retry_at > clock.now()
    assert caught.value.details == {"bucket": "calls", "limit": 5, "scope": "app"}
    reserve("calls", 2)
    assert used() == {"calls": 5}


def test_a_short_window_is_a_rate_and_each_channel_has_its_own(platform: Platform) -> None:
    channel_id = uuid.uuid4()
    quotas.reserving(platform, channel_id)("rate", 1)
    quotas.reserving(platform, uuid.uuid4())("rate", 1)

    with pytest.raises(PlatformRateLimitError) as caught:
        quotas.reserving(platform, channel_id)("rate", 1)

    assert caught.value.kind == "rate"


def test_a_window_that_is_over_begins_anew(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = quotas.reserving(platform, uuid.uuid4())
    monkeypatch.setattr(clock, "now", lambda: NOON)
    reserve("rate", 1)

    monkeypatch.setattr(clock, "now", lambda: NOON + timedelta(seconds=60))
    reserve("rate", 1)

    window = db.session.scalars(select(QuotaWindow)).one()
    assert (window.used, window.ends_at) == (1, NOON + timedelta(seconds=120))


def test_more_than_a_whole_window_is_never_granted(platform: Platform) -> None:
    with pytest.raises(PlatformRateLimitError):
        quotas.reserving(platform, uuid.uuid4())("calls", 6)

    assert used() == {}


@pytest.mark.parametrize("bucket", ["calls", "posts"])
def test_parallel_workers_never_take_more_than_there_is(app: Flask, platform: Platform, bucket: str) -> None:
    channel_id, granted = uuid.uuid4(), []
    start = threading.Barrier(8)

    def work() -> None:
        with app.app_context():
            start.wait()
            try:
                quotas.reserving(platform, channel_id)(bucket, 1)
            except PlatformRateLimitError:
                return
            granted.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    limit = {"calls": 5, "posts": 2}[bucket]
    assert (len(granted), used()) == (limit, {bucket: limit})


def test_staging_hands_the_reservation_to_the_adapter(
    claimed: Claimed, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = claimed("scheduled", next_at=clock.now())
    monkeypatch.setattr(platform, "stage", lambda request, _handle, _save: request.reserve("calls", 9))
    monkeypatch.setattr(credentials, "ensure_fresh", lambda *_, **__: None)

    staging.stage(item.ref.id, item.ref.fence)

    target = db.session.scalars(select(Target)).one()
    assert (target.error or {})["platform_code"] == "own_quota"


# -- with the intent


def test_a_post_takes_its_unit_with_the_intent(claimed: Claimed, platform: Platform) -> None:
    items = same_channel(claimed, 2)

    ready = intents.write_intents(items)

    assert len(ready) == 2
    assert used() == {"posts": 2}


@pytest.mark.parametrize(
    ("choice", "state", "hold"), [("fail", "failed", None), ("defer", "staged", "quota")]
)
def test_whoever_gets_no_unit_goes_as_the_user_chose(
    claimed: Claimed, platform: Platform, choice: str, state: str, hold: str | None
) -> None:
    items = same_channel(claimed, 3, if_over_quota=choice, due_at=clock.now())

    ready = intents.write_intents(items)

    left_out = db.session.scalars(select(Target).where(Target.state != "publishing")).one()
    assert (len(ready), left_out.state, left_out.hold) == (2, state, hold)
    assert (left_out.error or {})["code"] == "PLATFORM_RATE_LIMIT"
    window = db.session.scalars(select(QuotaWindow)).one()
    assert (window.used, left_out.hold_until) == (2, window.ends_at if hold else None)
    contents = set(db.session.scalars(select(ChannelContent.target_id)))
    assert contents == {item.ref.id for item in ready}
    assert set(db.session.scalars(select(Attempt.target_id))) == contents


def test_a_target_needs_a_unit_of_every_quota_or_takes_none(claimed: Claimed, platform: Platform) -> None:
    scarce = Quota("scarce", 1, DAY, "app", "the test", phase="commit")
    platform.quotas = (replace(POSTS, limit=10), scarce)
    items = same_channel(claimed, 3)

    ready = intents.write_intents(items)

    assert len(ready) == 1
    assert used() == {"posts": 1, "scarce": 1}


def test_parallel_intents_never_exceed_the_quota(app: Flask, claimed: Claimed, platform: Platform) -> None:
    platform.quotas = (replace(POSTS, limit=5),)
    items, ready = same_channel(claimed, 12), []
    start = threading.Barrier(4)

    def work(part: list[Loaded]) -> None:
        with app.app_context():
            start.wait()
            ready.extend(intents.write_intents(part))

    threads = [threading.Thread(target=work, args=(items[first::4],)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(ready), used()) == (5, {"posts": 5})


# -- afterwards


def settle_twice(item: Loaded, outcome: Any) -> None:
    settling.settle([(item, outcome)])
    settling.settle([(item, outcome)])


def test_what_certainly_was_not_posted_gives_its_unit_back_once(claimed: Claimed, platform: Platform) -> None:
    ready = intents.write_intents(same_channel(claimed, 2))

    settle_twice(ready[0], NotCommitted())

    assert used() == {"posts": 1}


@pytest.mark.parametrize(("outcome", "kept"), [("not_published", 0), ("published", 1)])
def test_a_person_who_finds_no_post_frees_its_unit_and_its_content(
    claimed: Claimed, platform: Platform, outcome: str, kept: int
) -> None:
    (item,) = intents.write_intents(same_channel(claimed, 1))
    settling.settle([(item, Unknown("nobody can tell"))])
    who = Principal(workspace_id=item.ref.workspace_id, user_id=None, role="editor")

    targets.resolve(who, item.ref.id, outcome=outcome)

    assert used() == {"posts": kept}
    assert len(db.session.scalars(select(ChannelContent)).all()) == kept


def test_what_was_posted_keeps_its_unit(claimed: Claimed, platform: Platform) -> None:
    (item,) = intents.write_intents(same_channel(claimed, 1))

    settle_twice(item, Published("1", None))

    assert used() == {"posts": 1}


def test_a_unit_of_a_window_that_began_later_is_not_given_back(claimed: Claimed, platform: Platform) -> None:
    (item,) = intents.write_intents(same_channel(claimed, 1))
    anew = clock.now() + timedelta(hours=40)
    db.session.execute(update(QuotaWindow).values(ends_at=anew, used=2))
    db.session.commit()

    settling.settle([(item, NotCommitted())])

    assert used() == {"posts": 2}


def refusal(**details: Any) -> PlatformRateLimitError:
    until = clock.now() + timedelta(hours=3)
    return PlatformRateLimitError("full", details, platform="tiktok", kind="quota", retry_at=until)


@pytest.mark.parametrize(
    ("details", "full"),
    [
        pytest.param({}, {"posts": 2}, id="a channel's posts unless it says otherwise"),
        pytest.param({"bucket": "calls"}, {"posts": 0, "calls": 5}, id="the bucket it names"),
    ],
)
def test_the_platforms_word_fills_the_window(
    claimed: Claimed, platform: Platform, details: dict[str, str], full: dict[str, int]
) -> None:
    (item,) = intents.write_intents(same_channel(claimed, 1))
    error = refusal(**details)

    settling.settle([(item, error)])

    assert used() == full
    ends = set(db.session.scalars(select(QuotaWindow.ends_at).where(QuotaWindow.used > 0)))
    assert ends == {error.retry_at}


def test_our_own_refusal_fills_nothing(claimed: Claimed, platform: Platform) -> None:
    item = claimed("staged")
    error = refusal()
    error.platform_code = quotas.OWN

    quotas.fill([(item, error)])

    assert used() == {}


def test_staging_ahead_waits_for_the_next_window_instead_of_failing(
    claimed: Claimed, platform: Platform
) -> None:
    item = claimed("staging", due_at=clock.now() + timedelta(hours=10))
    error = refusal()

    refusals.refuse(item, error, before={"staging"})
    db.session.commit()

    target = db.session.scalars(select(Target)).one()
    assert (target.state, target.hold, target.next_at) == ("staging", None, error.retry_at)


# -- looking ahead


Scheduling = Callable[..., Target]


@pytest.fixture
def scheduling(context: Flask) -> Scheduling:
    """Schedule a target on the one channel there is, at an instant."""
    workspace_id = make_person().workspace_id
    channel = make_channel(workspace_id)

    def make(due_at: datetime, **columns: Any) -> Target:
        video = make_video(workspace_id)
        return make_target(
            make_post(video), video, channel, **({"state": "scheduled", "due_at": due_at} | columns)
        )

    return make


def test_a_day_that_is_promised_away_is_told(platform: Platform, scheduling: Scheduling) -> None:
    for hours in (1, 2):
        scheduling(NOON + timedelta(hours=hours))
    asked = scheduling(NOON + timedelta(hours=3))

    found = quotas.promised_away([asked])

    window = found[asked.id].pop("window")
    assert found[asked.id] == {"bucket": "posts", "limit": 2, "promised": 2}
    assert window["ends_at"].startswith("2026-11-23T15:00:00")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"due_at": NOON - DAY}, id="a day before"),
        pytest.param({"due_at": NOON + DAY}, id="a day later"),
        pytest.param({"due_at": NOON, "state": "cancelled"}, id="cancelled"),
        pytest.param({"due_at": NOON, "state": "failed"}, id="failed"),
        pytest.param({"due_at": NOON, "state": "draft"}, id="only a draft"),
    ],
)
def test_what_takes_no_unit_of_the_window_is_not_counted(
    platform: Platform, scheduling: Scheduling, other: dict[str, Any]
) -> None:
    platform.quotas = (replace(POSTS, limit=1),)
    scheduling(**other)
    asked = scheduling(NOON)

    assert quotas.promised_away([asked]) == {}


def test_targets_asked_about_together_count_each_other(platform: Platform, scheduling: Scheduling) -> None:
    platform.quotas = (Quota("inserts", 2, DAY, "app", "the test", timezone="America/Los_Angeles"),)
    asked = [scheduling(NOON + timedelta(hours=hours)) for hours in range(4)]

    found = quotas.promised_away(asked)

    assert sorted(facts["promised"] for facts in found.values()) == [2, 3]


def test_fifty_targets_are_one_query(platform: Platform, scheduling: Scheduling) -> None:
    asked = [scheduling(NOON + timedelta(hours=hours)) for hours in range(50)]
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    quotas.promised_away(asked)

    assert len([text for text in statements if not text.startswith("BEGIN")]) == 1


def test_an_apps_quota_nobody_used_yet_is_all_there(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "configured", lambda _settings: True)
    assert quotas.left()[("tiktok", "calls")] == 5

    quotas.reserving(platform, uuid.uuid4())("calls", 4)

    assert quotas.left()[("tiktok", "calls")] == 1
