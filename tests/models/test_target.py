"""`Target.move` is the only writer of states, and what it stores of a post is always what its targets add up to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from app.domain.target_state import TRANSITIONS, State, post_status
from app.extensions import db
from app.models import Channel, Event, Post, Target
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url")


def channels(count: int) -> list[Channel]:
    workspace_id = make_person().workspace_id
    return [make_channel(workspace_id) for _ in range(count)]


def post_on(accounts: list[Channel]) -> Post:
    return make_post(make_video(accounts[0].workspace_id), *accounts)


def targets_of(post: Post) -> list[Target]:
    db.session.expire_all()
    return list(db.session.scalars(select(Target).where(Target.post_id == post.id)))


def test_the_stored_status_is_the_derived_one_after_every_move(context: Flask):
    post, chance = post_on(channels(3)), random.Random(7)
    for _ in range(60):
        target = chance.choice(targets_of(post))
        before: State = target.state  # type: ignore[assignment]
        if not TRANSITIONS[before]:
            continue
        after = chance.choice(sorted(TRANSITIONS[before]))

        assert Target.move(target.ref, before={before}, after=after)
        db.session.commit()

        states: list[State] = [row.state for row in targets_of(post)]  # type: ignore[misc]
        assert db.session.get_one(Post, post.id).status == post_status(states)


def test_targets_of_one_post_settled_at_once_leave_the_derived_status(context: Flask):
    for _ in range(5):
        post = post_on(channels(4))
        refs = [target.ref for target in targets_of(post)]
        db.session.commit()

        def fail(number: int, refs: list = refs) -> None:  # type: ignore[type-arg]
            with context.app_context():
                assert Target.move(refs[number], before={"scheduled"}, after="failed")
                db.session.commit()

        threads = [threading.Thread(target=fail, args=(number,)) for number in range(len(refs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {target.state for target in targets_of(post)} == {"failed"}
        assert db.session.get_one(Post, post.id).status == "failed"
        db.session.commit()


def test_a_move_from_another_state_or_with_another_fence_changes_nothing(context: Flask):
    (target,) = targets_of(post_on(channels(1)))
    ref = target.ref
    target.fence = 5
    db.session.commit()

    assert not Target.move(ref, before={"scheduled"}, after="staging")
    assert not Target.move(target.ref, before={"staging"}, after="staged")
    assert db.session.scalars(select(Event.type)).all() == []


def test_a_move_the_machine_does_not_know_is_a_mistake(context: Flask):
    (target,) = targets_of(post_on(channels(1)))

    with pytest.raises(AssertionError):
        Target.move(target.ref, before={"scheduled"}, after="published")


def test_pausing_a_channel_in_the_middle_of_a_burst_waits_and_never_fails(context: Flask):
    (channel,) = channels(1)
    posts = [post_on([channel]) for _ in range(30)]
    refs = [target.ref for post in posts for target in targets_of(post)]
    channel_id = channel.id
    db.session.commit()
    failures: list[BaseException] = []

    def repeat(change: Callable[[int], object]) -> None:
        with context.app_context():
            try:
                for number in range(40):
                    change(number)
                    db.session.commit()
            except BaseException as error:
                failures.append(error)

    def burst(number: int) -> None:
        before, after = ("scheduled", "staging") if number % 2 == 0 else ("staging", "scheduled")
        Target.move_many(refs[::-1], before={before}, after=after)  # type: ignore[arg-type]

    def pause(_number: int) -> None:
        Target.reckon_holds(Target.channel_id == channel_id)

    threads = [threading.Thread(target=repeat, args=(change,)) for change in (burst, pause)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
