"""What each answer, error or silence does to a target; on both databases."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError, PlatformUploadError
from app.extensions import db
from app.models import Attempt, ChannelContent, Credential, Event, Post, Target
from app.platforms.base import (
    Accepted,
    AwaitingUser,
    HandleDead,
    NotCommitted,
    NotStaged,
    Pending,
    Published,
    Rejected,
    Unknown,
)
from app.services import intents, publishing, refusals, settling
from app.services.publishing import Loaded
from tests.factories import make_channel, make_person, make_post, make_video
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")
HOUR = timedelta(hours=1)


def target_of(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


def trouble(kind: str, **facts: Any) -> PlatformAPIError:
    return PlatformAPIError("trouble", platform="tiktok", kind=kind, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Published("1", "https://example.com/1"), "published"),
        (Accepted(clock.now() + HOUR), "confirming"),
        (Pending(clock.now() + HOUR), "confirming"),
        (AwaitingUser(clock.now() + HOUR, "finish it"), "awaiting_user"),
        (NotCommitted(), "staged"),
        (HandleDead("expired"), "scheduled"),
        (Rejected(PlatformUploadError("too short")), "failed"),
        (Rejected(trouble("transient")), "scheduled"),
        (Unknown("cannot tell"), "unknown"),
    ],
)
@pytest.mark.parametrize("before", ["publishing", "confirming"])
def test_what_the_platform_says_moves_the_target(claimed: Claimed, before: str, outcome: Any, state: str):
    item = claimed(before, committed_at=clock.now())

    settling.settle([(item, outcome)])

    assert target_of(item).state == state


@pytest.mark.parametrize("kind", ["ambiguous"])
def test_a_lost_answer_to_the_commit_is_asked_about_after_it_can_no_longer_take_effect(
    claimed: Claimed, kind: str
):
    item = replace(claimed("publishing", committed_at=clock.now()), kind="commit")

    settling.settle([(item, trouble(kind))])

    target = target_of(item)
    assert target.state == "confirming"
    assert target.next_at is not None
    assert target.next_at >= item.committed_at + timedelta(seconds=item.commit_deadline)


def test_what_left_a_commit_in_doubt_is_told_to_the_adapter_that_asks(claimed: Claimed):
    item = replace(claimed("publishing", committed_at=clock.now()), kind="commit")
    doubt = PlatformAPIError(platform="tiktok", kind="ambiguous", platform_code="4/51")

    settling.settle([(item, doubt)])

    (asked,) = publishing.load([(item.ref.id, target_of(item).fence)])
    assert asked.request.doubt == "4/51"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (trouble("transient"), "staged"),
        (PlatformRateLimitError(retry_at=clock.now() + HOUR), "staged"),
        (trouble("media"), "failed"),
        (trouble("content"), "failed"),
        (trouble("account"), "failed"),
    ],
)
def test_a_clear_refusal_of_the_commit_goes_by_its_kind(
    claimed: Claimed, error: PlatformAPIError, state: str
):
    item = replace(claimed("publishing", committed_at=clock.now()), kind="commit")

    settling.settle([(item, error)])

    assert target_of(item).state == state


def test_a_preflight_that_hears_of_an_earlier_commit_leads_to_asking(claimed: Claimed):
    item = replace(claimed("staged"), kind="preflight")

    settling.settle([(item, trouble("ambiguous"))])

    target = target_of(item)
    assert target.state == "confirming"
    assert target.committed_at is not None


def test_an_upload_of_which_a_part_is_missing_is_staged_on_with_its_handle(claimed: Claimed):
    item = replace(claimed("staged", preflighted_at=clock.now()), kind="preflight")

    settling.settle([(item, NotStaged("a part is missing"))])

    target = target_of(item)
    assert (target.state, target.handle_encrypted is None, target.retries) == ("staged", False, 1)
    assert publishing.next_call(target, clock.now()) == "stage"
    assert target.next_at is not None and target.next_at <= clock.now()


def test_a_question_that_cannot_be_asked_now_is_asked_again(claimed: Claimed):
    item = claimed("confirming", committed_at=clock.now())

    settling.settle([(item, trouble("transient"))])

    target = target_of(item)
    assert (target.state, target.retries) == ("confirming", 1)
    assert target.next_at is not None


@pytest.mark.parametrize(("minutes", "state"), [(9, "confirming"), (11, "unknown")])
def test_a_question_that_is_refused_is_left_to_a_person_only_when_it_stays_so(
    claimed: Claimed, minutes: int, state: str
):
    item = claimed("confirming", committed_at=clock.now() - timedelta(minutes=minutes))

    settling.settle([(item, trouble("content"))])

    assert target_of(item).state == state


@pytest.mark.parametrize("outcome", [trouble("transient"), Pending(clock.now() + HOUR)])
def test_a_day_in_which_nobody_asked_leaves_no_question_to_a_person(claimed: Claimed, outcome: Any):
    item = claimed("confirming", committed_at=clock.now() - timedelta(hours=25))

    settling.settle([(item, outcome)])

    target = target_of(item)
    assert (target.state, target.retries + target.asked) == ("confirming", 1)
    assert target.next_at is not None


def test_a_question_without_an_answer_for_a_day_needs_a_person(claimed: Claimed):
    item = claimed("confirming", committed_at=clock.now() - timedelta(hours=25), retries=9, asked=1)

    settling.settle([(item, trouble("transient"))])

    target = target_of(item)
    assert target.state == "unknown"
    assert target.error is not None
    assert target.error["action"] == "check_platform"
    assert db.session.get_one(Post, target.post_id).status == "action_required"


def test_a_write_with_an_old_fence_changes_nothing(claimed: Claimed):
    item = claimed("publishing", committed_at=clock.now())
    late = replace(item, ref=replace(item.ref, fence=0))

    settling.settle([(late, Published("1", None))])

    assert target_of(item).state == "publishing"
    assert db.session.scalar(select(func.count()).select_from(Event)) == 0


def test_a_refused_token_is_renewed_before_it_is_called_dead(claimed: Claimed):
    item = replace(claimed("publishing", committed_at=clock.now()), kind="commit")

    settling.settle([(item, PlatformAuthError(platform="tiktok"))])
    credential = db.session.get_one(Credential, item.credential_id, populate_existing=True)
    assert credential.status == "needs_reconnect"  # the factory's token was renewed a moment ago


def test_published_tells_the_outbox_once_and_stores_the_posts_status(claimed: Claimed):
    item = claimed("publishing", committed_at=clock.now())

    settling.settle([(item, Published("1", "https://example.com/1"))])
    settling.settle([(item, Published("1", "https://example.com/1"))])

    target = target_of(item)
    assert db.session.get_one(Post, target.post_id).status == "published"
    events = db.session.scalars(select(Event.type).where(Event.target_id == item.ref.id)).all()
    assert events == ["target.published"]


# -- loading


def test_a_target_that_cannot_be_read_does_not_stop_the_others_and_is_counted(claimed: Claimed):
    broken, sound = claimed("staged"), claimed("staged")
    target_of(broken).handle_encrypted = "sealed by a key that is gone"
    db.session.commit()

    items = publishing.load([(item.ref.id, 1) for item in (broken, sound)])

    assert [item.ref.id for item in items] == [sound.ref.id]
    assert [target_of(item).attempts for item in (broken, sound)] == [1, 0]


def test_a_target_is_loaded_as_the_database_has_it_now(claimed: Claimed):
    item = claimed("staged")
    seen = db.session.get_one(Credential, item.credential_id)
    db.session.commit()
    renewed = clock.now() + 5 * HOUR
    with db.engine.begin() as other:
        other.execute(update(Credential).values(expires_at=renewed))

    (again,) = publishing.load([(item.ref.id, 1)])

    assert again.token_expires_at == renewed
    assert seen.id == item.credential_id


# -- intents


def staged(claimed: Claimed, **columns: Any) -> Loaded:
    return claimed("staged", preflighted_at=clock.now(), **columns)


def test_an_intent_is_written_with_its_ledger_row_and_the_content_is_reserved(claimed: Claimed):
    item = staged(claimed)

    (ready,) = intents.write_intents([item])

    assert target_of(item).state == "publishing"
    attempt = db.session.get_one(Attempt, ready.attempt_id)
    assert (attempt.operation, attempt.outcome) == ("commit", None)
    assert db.session.scalars(select(ChannelContent.target_id)).all() == [item.ref.id]


@pytest.mark.parametrize("obstacle", [{"hold": "paused"}, {"state": "cancelled"}, {"fence": 2}])
def test_no_intent_is_written_for_what_was_held_cancelled_or_taken_over(
    claimed: Claimed, obstacle: dict[str, Any]
):
    item = staged(claimed)
    target = target_of(item)
    for name, value in obstacle.items():
        setattr(target, name, value)
    db.session.commit()

    assert intents.write_intents([item]) == []
    assert db.session.scalar(select(func.count()).select_from(ChannelContent)) == 0


def test_the_same_content_on_the_same_channel_within_a_day_fails_at_the_intent(claimed: Claimed):
    item = staged(claimed)
    other = ChannelContent(
        channel_id=item.channel_id,
        content_hash=item.content_hash,
        target_id=item.ref.post_id,
        last_at=clock.now() - timedelta(hours=23),
    )
    db.session.add(other)
    db.session.commit()

    assert intents.write_intents([item]) == []
    target = target_of(item)
    assert target.state == "failed"
    assert target.error is not None
    assert target.error["code"] == "REPOST_TOO_SOON"


def test_a_commit_that_certainly_did_not_happen_frees_the_content(claimed: Claimed):
    (item,) = intents.write_intents([staged(claimed)])

    settling.settle([(replace(item, kind="locate"), NotCommitted())])

    assert db.session.scalar(select(func.count()).select_from(ChannelContent)) == 0


def test_a_target_that_kills_its_workers_ends_with_a_reason(claimed: Claimed):
    before, after = claimed("staging"), claimed("publishing")

    refusals.give_up(before.ref, "staging", platform="tiktok")
    refusals.give_up(after.ref, "publishing", platform="tiktok")

    assert [target_of(item).state for item in (before, after)] == ["failed", "unknown"]


def test_two_workers_that_settle_the_same_posts_in_opposite_order_do_not_wait_in_a_ring(
    context: Flask, monkeypatch: pytest.MonkeyPatch
):
    items = two_posts_on_two_channels()
    results = [(item, Published(None, None)) for item in items]
    both = threading.Barrier(2)
    failures: list[Exception] = []
    settle_one = settling._settle_one

    def slowly(*args: Any) -> Any:
        state = settle_one(*args)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)  # each holds its first post before it wants its second
        return state

    def settle(mine: list[Any]) -> None:
        with context.app_context():
            try:
                settling.settle(mine)
            except Exception as error:
                failures.append(error)

    monkeypatch.setattr(settling, "_settle_one", slowly)
    threads = [threading.Thread(target=settle, args=(mine,)) for mine in (results[:2], results[:1:-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {target_of(item).state for item in items} == {"published"}


def two_posts_on_two_channels() -> list[Loaded]:
    """Targets in flight: both posts on the first channel, then both on the second."""
    workspace_id = make_person().workspace_id
    channels = [make_channel(workspace_id) for _ in range(2)]
    video = make_video(workspace_id)
    posts = [make_post(video, *channels, state="publishing") for _ in range(2)]
    lease = {"fence": 1, "lease_until": clock.now() + HOUR, "next_at": clock.now() + HOUR}
    db.session.execute(update(Target).values(**lease))
    db.session.commit()
    order = {(post.id, channel.id): place for place, (channel, post) in enumerate(product(channels, posts))}
    rows = db.session.execute(select(Target.id, Target.post_id, Target.channel_id)).all()
    db.session.expunge_all()
    items = {item.ref.id: item for item in publishing.load([(row.id, 1) for row in rows])}
    return [items[row.id] for row in sorted(rows, key=lambda row: order[(row.post_id, row.channel_id)])]


@pytest.mark.parametrize(
    ("choice", "state", "hold"), [("fail", "failed", None), ("defer", "staged", "quota")]
)
def test_over_quota_is_the_users_choice(claimed: Claimed, choice: str, state: str, hold: str | None):
    error = trouble("quota", retry_at=clock.now() + HOUR)
    before = replace(claimed("staged", if_over_quota=choice), kind="preflight")
    after = replace(claimed("publishing", committed_at=clock.now(), if_over_quota=choice), kind="commit")

    settling.settle([(before, error), (after, error)])

    for item in (before, after):
        target = target_of(item)
        assert (target.state, target.hold) == (state, hold)
        assert target.hold_until == (error.retry_at if hold else None)


@pytest.mark.parametrize("own", [False, True], ids=["the usual", "the user's own"])
def test_a_deferred_target_may_be_late_from_the_new_quota_on_unless_the_user_set_a_limit(
    claimed: Claimed, *, own: bool
):
    late_until = clock.now() + 2 * HOUR
    error = trouble("quota", retry_at=clock.now() + 20 * HOUR)
    terms = {"if_over_quota": "defer", "due_at": clock.now(), "late_until": late_until}
    before = replace(claimed("staged", **terms), kind="preflight")
    after = replace(claimed("publishing", committed_at=clock.now(), **terms), kind="commit")
    if own:
        db.session.execute(update(Post).values(late_until=late_until))
        db.session.commit()

    settling.settle([(before, error), (after, error)])

    allowed = late_until if own else error.retry_at + 2 * HOUR
    for item in (before, after):
        target = target_of(item)
        assert (target.hold, target.late_until) == ("quota", allowed)
