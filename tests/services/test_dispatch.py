"""Claiming: who gets a row, for how long, and what becomes of rows nobody may have; on both databases."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from rq import Queue
from rq.job import Job
from sqlalchemy import select, update

from app import clock
from app.extensions import db, settings
from app.models import Channel, Post, Target, Video
from app.queue import CALL_PLATFORM, MEASURE_VIDEO, STAGE_TARGET, AllowListedJob, QueueName, carrier
from app.services import dispatch, instance, publishing
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url")
Made = Callable[..., Target]


@pytest.fixture
def made(context: Flask) -> Made:
    """Make a target that is due now; columns win."""
    person = make_person()
    channel = make_channel(person.workspace_id)
    assert instance.check() is None

    def make(**columns: Any) -> Target:
        on = columns.pop("channel", channel)
        post = make_post(make_video(person.workspace_id), on)
        target = db.session.scalars(select(Target).where(Target.post_id == post.id)).one()
        for name, value in ({"next_at": clock.now(), "due_at": clock.now()} | columns).items():
            setattr(target, name, value)
        if target.state in ("staged", "publishing", "confirming"):
            target.handle_encrypted = publishing.seal_handle(target.id, {"publish_id": "p"})
        db.session.commit()
        return target

    return make


def reread(target: Target) -> Target:
    db.session.rollback()
    return db.session.get_one(Target, target.id, populate_existing=True)


def test_a_claim_sets_lease_and_fence_and_leaves_the_state(made: Made):
    target = made()

    jobs = dispatch.claim_targets(clock.now())

    assert jobs == [(STAGE_TARGET, (str(target.id), 1))]
    row = reread(target)
    assert (row.state, row.fence, row.attempts) == ("scheduled", 1, 0)
    assert row.next_at == row.lease_until
    assert dispatch.claim_targets(clock.now()) == []


def test_calls_share_a_job_and_staging_does_not(made: Made):
    staged = [made(state="staged", preflighted_at=clock.now()) for _ in range(3)]
    made()

    jobs = dispatch.claim_targets(clock.now())

    assert [task for task, _ in jobs] == [STAGE_TARGET, CALL_PLATFORM]
    assert {target_id for target_id, _ in jobs[1][1][0]} == {str(target.id) for target in staged}


@pytest.mark.parametrize("columns", [{"hold": "paused"}, {"next_at": None}, {"next_at": "later"}])
def test_what_is_held_or_not_due_is_not_claimed(made: Made, columns: dict[str, Any]):
    made(
        **{
            name: clock.now() + timedelta(hours=1) if value == "later" else value
            for name, value in columns.items()
        }
    )

    assert dispatch.claim_targets(clock.now()) == []


def test_two_claimers_at_once_never_get_the_same_row(made: Made, context: Flask):
    targets = [made() for _ in range(20)]
    jobs: list[Any] = []

    def claim() -> None:
        with context.app_context():
            jobs.extend(dispatch.claim_targets(clock.now()))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(args[0] for _, args in jobs) == sorted(str(target.id) for target in targets)


def test_a_row_that_killed_three_workers_is_given_up(made: Made):
    target = made(state="staging", attempts=3)

    assert dispatch.claim_targets(clock.now()) == []
    row = reread(target)
    assert row.state == "failed"
    assert row.error is not None
    assert "died" in row.error["message"]


def test_what_is_later_than_allowed_is_missed_even_while_held(made: Made):
    target = made(late_until=clock.now() - timedelta(seconds=1), hold="paused")

    dispatch.miss_late_targets(clock.now())

    row = reread(target)
    assert (row.state, row.next_at) == ("missed", None)
    assert db.session.get_one(Post, row.post_id, populate_existing=True).status == "missed"


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_postponed_meanwhile_is_not_missed(
    made: Made, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    targets = [made(late_until=clock.now() - timedelta(seconds=1)) for _ in range(count)]
    ids, move_many = [target.id for target in targets], Target.move_many

    def postpone_and_move(*args: Any, **more: Any) -> set[uuid.UUID]:
        later = clock.now() + timedelta(hours=1)
        db.session.execute(update(Target).where(Target.id == ids[0]).values(late_until=later))
        db.session.commit()
        return move_many(*args, **more)

    monkeypatch.setattr(Target, "move_many", postpone_and_move)
    dispatch.miss_late_targets(clock.now())

    states = [reread(target).state for target in targets]
    assert states == ["scheduled"] + ["missed"] * (count - 1)


def test_a_written_intent_is_never_missed(made: Made):
    target = made(state="publishing", late_until=clock.now() - timedelta(hours=1))

    dispatch.miss_late_targets(clock.now())

    assert reread(target).state == "publishing"


def test_after_an_outage_a_channel_posts_its_backlog_one_at_a_time(made: Made):
    hour_ago = clock.now() - timedelta(hours=1)
    backlog = [
        made(state="staged", preflighted_at=clock.now(), due_at=hour_ago + timedelta(minutes=number))
        for number in range(3)
    ]

    jobs = dispatch.claim_targets(clock.now())

    assert [args[0] for _, args in jobs] == [[[str(backlog[0].id), 1]]]
    waiting = [reread(target) for target in backlog[1:]]
    assert all(row.next_at is not None and row.next_at > clock.now() for row in waiting)
    assert all(row.attempts == 0 for row in waiting)


def test_a_pause_ends_all_claims_of_a_channel_and_resuming_brings_them_back(made: Made):
    target = made()
    channel = db.session.get_one(Channel, target.channel_id)
    channel.paused_at = clock.now()
    db.session.flush()
    Target.reckon_holds(Target.channel_id == channel.id)
    db.session.commit()
    assert dispatch.claim_targets(clock.now()) == []

    channel.paused_at = None
    db.session.flush()
    Target.reckon_holds(Target.channel_id == channel.id)
    db.session.commit()
    assert len(dispatch.claim_targets(clock.now())) == 1


def test_a_hold_that_ran_out_is_let_go(made: Made):
    target = made(hold="quota", hold_until=clock.now() - timedelta(seconds=1))

    dispatch.release_holds(clock.now())

    assert reread(target).hold is None


def test_the_next_look_is_at_the_next_due_time_and_at_most_a_second_away(made: Made):
    assert dispatch.seconds_until_next(clock.now()) == 1.0
    made(next_at=clock.now() + timedelta(milliseconds=300))

    assert 0.0 < dispatch.seconds_until_next(clock.now()) <= 0.3


def test_a_mark_that_cannot_be_read_stops_publishing_only(made: Made, monkeypatch: pytest.MonkeyPatch):
    video = db.session.get_one(Video, made(next_at=None).video_id)
    video.next_at = clock.now()
    db.session.commit()
    handed: list[Any] = []
    monkeypatch.setattr(dispatch, "hand_over", handed.extend)
    monkeypatch.setattr(instance, "check", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        dispatch.tick()

    assert [task for task, _ in handed] == [MEASURE_VIDEO]


def test_a_job_that_waited_longer_than_its_lease_reaches_no_worker(made: Made, context: Flask):
    context.extensions["settings"] = replace(settings(), stage_lease_seconds=1.0)
    target = made()
    dispatch.tick()
    time.sleep(1.2)
    dispatch.tick()

    jobs = list(jobs_of("stage"))

    assert [job.args for job in jobs] == [[str(target.id), 2]]


def jobs_of(name: QueueName) -> Iterator[Job]:
    """Take a queue's jobs as a worker does, which finds nothing of those that have run out."""
    queue = carrier().queues[name]
    while found := Queue.dequeue_any(
        [queue], None, connection=queue.connection, job_class=AllowListedJob, serializer="json"
    ):
        yield found[0]


def test_what_finds_no_room_in_its_queue_stays_unclaimed(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "QUEUE_ROOM", 2)
    waiting = [made() for _ in range(5)]

    pauses = [dispatch.tick() for _ in range(3)]

    assert sum(reread(target).fence for target in waiting) == 2
    assert pauses[1:] == [dispatch.FULL_PAUSE] * 2


def test_a_full_queue_of_staging_holds_no_call_up(made: Made):
    for _ in range(3):
        made()
    staged = made(state="staged", preflighted_at=clock.now())

    jobs = dispatch.claim_targets(clock.now(), room=0)

    assert jobs == [(CALL_PLATFORM, ([[str(staged.id), 1]],))]
