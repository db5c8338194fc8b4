"""What a settled video means for the targets that waited for it, and who wins when two are at work."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import clock
from app.exceptions import StateConflictError
from app.extensions import db
from app.models import Channel, Event, Post, Target, Video
from app.services import edits, events, idempotency, posts, targets
from app.services.planning import PostInput
from tests import factories
from tests.factories import Person

pytestmark = pytest.mark.usefixtures("database_url")
OPTIONS = {"tiktok": {"privacy_level": "SELF_ONLY"}}


@pytest.fixture
def person(context: Flask) -> Person:
    return factories.make_person()


def request_for(video: Video, *channels: Channel, **more: Any) -> PostInput:
    named = [{"channel_id": channel.id} for channel in channels]
    return {"video_id": video.id, "publish_now": True, "options": OPTIONS, "targets": named, **more}  # type: ignore[typeddict-item]


def settle(video: Video, *, facts: dict[str, Any] | None = None, **columns: Any) -> None:
    """End the measuring of a video as the service does, in one transaction."""
    values = {"facts": facts or factories.FACTS.to_dict(), "state": "ready"} | columns
    db.session.execute(update(Video).where(Video.id == video.id).values(**values))
    targets.media_settled(video.id)
    db.session.commit()


def only_target() -> Target:
    db.session.expire_all()
    return db.session.scalars(select(Target)).one()


# -- a video's measuring ends


def test_a_ready_video_lets_its_targets_go(person: Person) -> None:
    video = factories.make_video(person.workspace_id, state="processing", facts=None)
    posts.create(request_for(video, factories.make_channel(person.workspace_id)), person.principal)
    assert only_target().hold == "media"

    settle(video)

    assert (only_target().state, only_target().hold) == ("scheduled", None)


def test_a_video_its_platform_does_not_take_fails_the_target_with_reasons(person: Person) -> None:
    video = factories.make_video(person.workspace_id, state="processing", facts=None)
    post = posts.create(request_for(video, factories.make_channel(person.workspace_id)), person.principal)

    settle(video, facts=factories.FACTS.to_dict() | {"duration_seconds": 3600.0})

    failed = only_target()
    assert failed.error is not None
    assert (failed.state, failed.next_at, failed.hold) == ("failed", None, None)
    assert (failed.error["code"], failed.error["action"]) == ("VIDEO_VALIDATION_ERROR", "edit")
    assert failed.error["details"]["duration"] == {"found": 3600.0, "allowed": 600}
    assert db.session.get_one(Post, post.id, populate_existing=True).status == "failed"


def test_a_rejected_video_fails_what_waits_and_leaves_drafts(person: Person) -> None:
    video = factories.make_video(person.workspace_id, state="processing", facts=None)
    channels = [factories.make_channel(person.workspace_id) for _ in range(2)]
    scheduled = posts.create(request_for(video, channels[0]), person.principal)
    draft: PostInput = {"video_id": video.id, "draft": True, "targets": [{"channel_id": channels[1].id}]}
    posts.create(draft, person.principal)

    settle(
        video,
        state="rejected",
        facts=None,
        error={"code": "VIDEO_VALIDATION_ERROR", "message": "A playlist."},
    )

    found = {target.post_id: target for target in db.session.scalars(select(Target))}
    assert found.pop(scheduled.id).error["message"] == "A playlist."  # type: ignore[index]
    (left,) = found.values()
    assert left.state == "draft"


def test_what_is_going_out_already_is_left_alone(person: Person) -> None:
    video = factories.make_video(person.workspace_id)
    factories.make_post(video, factories.make_channel(person.workspace_id), state="publishing")

    settle(video, state="rejected")

    assert only_target().state == "publishing"


# -- two at once


def test_an_edit_loses_to_an_intent_written_meanwhile(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, video = factories.make_channel(person.workspace_id), factories.make_video(person.workspace_id)
    post = posts.create(request_for(video, channel), person.principal)
    db.session.execute(update(Target).values(state="staged"))
    db.session.commit()
    real = edits.check

    def check_while_it_goes_out(*args: Any) -> None:
        real(*args)
        db.session.execute(update(Target).values(state="publishing"))

    monkeypatch.setattr(edits, "check", check_while_it_goes_out)

    with pytest.raises(StateConflictError, match="Too late"):
        edits.edit_post(person.principal, post.id, {"caption": "New words"})

    assert posts.get(person.principal, post.id).version == 1


def test_a_worker_with_the_old_fence_loses_to_a_cancel(person: Person) -> None:
    channel, video = factories.make_channel(person.workspace_id), factories.make_video(person.workspace_id)
    post = posts.create(request_for(video, channel), person.principal)
    db.session.execute(update(Target).values(state="staged", fence=4))
    db.session.commit()
    claimed = only_target().ref

    posts.cancel(person.principal, post.id)

    assert not Target.move(claimed, before={"staged"}, after="publishing")
    assert only_target().state == "cancelled"


def in_thread(app: Flask, work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        with app.app_context():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_video_that_settles_while_a_post_is_made_holds_nothing(context: Flask, person: Person) -> None:
    video = factories.make_video(person.workspace_id, state="processing", facts=None)
    channel = factories.make_channel(person.workspace_id)
    begun: list[threading.Thread] = []

    def settle_meanwhile(_post: Any) -> None:
        begun.append(in_thread(context, lambda: settle(video)))
        begun[0].join(0.5)  # it must wait for us: both cannot overlook each other
        assert begun[0].is_alive()

    posts.create(request_for(video, channel), person.principal, remember=settle_meanwhile)
    begun[0].join(10)

    assert only_target().hold is None


def test_a_key_under_way_is_a_conflict_or_waits(context: Flask, person: Person) -> None:
    outcomes: list[str] = []

    def ask_again() -> None:
        try:
            found = idempotency.claim("k", person.principal, request=b"same")
            outcomes.append(type(found).__name__)
        except StateConflictError:
            outcomes.append("conflict")
        db.session.rollback()

    claim = idempotency.claim("k", person.principal, request=b"same")
    assert isinstance(claim, idempotency.Claim)
    second = in_thread(context, ask_again)
    second.join(0.5)
    idempotency.store(claim, status=201, body={"id": "1"})
    db.session.commit()
    second.join(10)

    expected = "conflict" if db.engine.dialect.name == "postgresql" else "Replay"
    assert outcomes == [expected]


# -- events


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer, in order
def test_a_reader_of_events_never_steps_over_one_that_commits_late(context: Flask, person: Person) -> None:
    inserted, finish = threading.Event(), threading.Event()

    def write_slowly() -> None:
        Event.record("first.event", workspace_id=person.workspace_id)
        db.session.flush()
        inserted.set()
        finish.wait(10)
        db.session.commit()

    slow = in_thread(context, write_slowly)
    inserted.wait(10)
    Event.record("second.event", workspace_id=person.workspace_id)
    db.session.commit()
    early, cursor = events.list_events(person.principal, after=0, limit=10)
    finish.set()
    slow.join(10)
    late, _ = events.list_events(person.principal, after=cursor, limit=10)

    assert [event.type for event in early] == []
    assert [event.type for event in late] == ["first.event", "second.event"]


def test_another_workspaces_events_are_not_read(person: Person) -> None:
    Event.record("mine.event", workspace_id=person.workspace_id)
    Event.record("other.event", workspace_id=uuid.uuid4())
    db.session.commit()

    found, _ = events.list_events(person.principal, after=0, limit=10)

    assert [event.type for event in found] == ["mine.event"]


def test_late_until_of_the_workspace_is_used(person: Person) -> None:
    from app.models import Workspace

    db.session.execute(update(Workspace).values(late_after_seconds=60))
    db.session.commit()
    channel, video = factories.make_channel(person.workspace_id), factories.make_video(person.workspace_id)

    posts.create(request_for(video, channel), person.principal)

    target = only_target()
    assert target.due_at is not None and target.late_until == target.due_at + timedelta(seconds=60)
    assert clock.now() - target.due_at < timedelta(seconds=30)
