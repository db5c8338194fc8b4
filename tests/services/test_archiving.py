from __future__ import annotations

import io
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import clock
from app.config import Settings
from app.domain.recipe import Recipe
from app.domain.target_state import OPEN, TRANSITIONS
from app.exceptions import AppException, StateConflictError
from app.extensions import db
from app.models import Event, Rendition, Target, Upload, Video
from app.services import archiving, dispatch, posts, uploads, videos
from app.storage import get_storage
from tests.factories import Person, make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("context")
OLD = timedelta(days=40)
ENDED = sorted(TRANSITIONS.keys() - archiving.UNENDED)


@pytest.fixture
def person(context: object) -> Person:
    return make_person()


def cutoff() -> Any:
    return clock.now() - timedelta(days=30)


def stored_video(person: Person, *, age: timedelta = OLD, **columns: Any) -> Video:
    """A ready video of an age with a file, a picture and a rendition in the store."""
    video = make_video(person.workspace_id, created_at=clock.now() - age, **columns)
    folder = video.key.rpartition("/")[0]
    video.thumbnail_key, video.thumbnail_backend = f"{folder}/thumbnail.jpg", "folder"
    rendition = Rendition(
        workspace_id=video.workspace_id, video_id=video.id, recipe_hash="h", state="ready", backend="folder",
        recipe=Recipe(picture=None, sound="copy").to_dict(), key=f"{folder}/rendition.mp4", size_bytes=5,
        updated_at=clock.now() - age,
    )  # fmt: skip
    db.session.add(rendition)
    for key in (video.key, video.thumbnail_key, str(rendition.key)):
        get_storage().put_stream(key, io.BytesIO(b"bytes"), max_bytes=5)
    db.session.commit()
    return video


def used(video: Video, state: str, *, ended: timedelta, published: timedelta | None = None) -> None:
    """Have a post in a state use the video; `ended` and `published` are how long ago."""
    post = make_post(video, make_channel(video.workspace_id), state=state)
    values = {
        "updated_at": clock.now() - ended,
        "published_at": clock.now() - published if published is not None else None,
    }
    db.session.execute(update(Target).where(Target.post_id == post.id).values(values))
    db.session.commit()


def read(video_id: uuid.UUID) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video_id, populate_existing=True)


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.storage_dir.rglob("*") if path.is_file())


def remove_what_is_planned() -> None:
    for _, arguments in dispatch.claim(dispatch.WORK[1], clock.now()):
        uploads.expire(uuid.UUID(arguments[0]), arguments[1])


def events() -> list[str]:
    return [event.type for event in db.session.scalars(select(Event).order_by(Event.seq))]


# -- what goes and what stays


def test_of_an_archived_video_only_the_bytes_go(
    database_url: str, person: Person, settings: Settings
) -> None:
    video = stored_video(person)
    used(video, "published", ended=OLD, published=OLD)
    before = videos.get(person.principal, video.id)

    videos.archive(person.principal, video.id)
    remove_what_is_planned()

    after = videos.get(person.principal, video.id)
    assert (after.state, after.file_url) == ("archived", None)
    assert (after.sha256, after.facts, after.title) == (before.sha256, before.facts, before.title)
    assert after.thumbnail_url is not None
    assert after.archived_at is not None
    assert files(settings) == ["thumbnail.jpg"]
    assert db.session.scalars(select(Rendition.state)).all() == ["removed"]
    assert db.session.scalars(select(Upload)).all() == []
    assert events() == ["video.archived"]


def test_archiving_twice_is_told_once(person: Person) -> None:
    video = stored_video(person)

    videos.archive(person.principal, video.id)
    videos.archive(person.principal, video.id)

    assert events() == ["video.archived"]


def test_an_archived_video_is_deleted_with_its_picture(person: Person, settings: Settings) -> None:
    video = stored_video(person)
    used(video, "published", ended=OLD, published=OLD)
    videos.archive(person.principal, video.id)

    videos.delete(person.principal, video.id)
    remove_what_is_planned()

    assert (read(video.id).state, read(video.id).thumbnail_key) == ("archived", None)
    assert files(settings) == []


@pytest.mark.parametrize("state", sorted(archiving.UNENDED))
def test_by_hand_a_video_is_not_archived_while_a_post_needs_it(
    person: Person, settings: Settings, state: str
) -> None:
    video = stored_video(person)
    used(video, state, ended=OLD)

    with pytest.raises(StateConflictError) as refused:
        videos.archive(person.principal, video.id)
    remove_what_is_planned()

    assert len(refused.value.details["posts"]) == 1
    assert (read(video.id).state, len(files(settings))) == ("ready", 3)


def test_a_video_that_is_not_measured_yet_is_not_archived(person: Person) -> None:
    with pytest.raises(StateConflictError):
        videos.archive(person.principal, make_video(person.workspace_id, state="processing").id)


# -- by the timetable


def test_an_unused_video_is_kept_as_long_as_the_setting_says(database_url: str, person: Person) -> None:
    old, young = stored_video(person), stored_video(person, age=timedelta(days=29))
    rejected = stored_video(person, state="rejected")
    measured = stored_video(person, state="processing")

    assert archiving.archive_unused(cutoff()) == 2

    assert [read(each.id).state for each in (old, rejected, young, measured)] == [
        "archived", "archived", "ready", "processing",
    ]  # fmt: skip
    assert archiving.archive_unused(cutoff()) == 0


@pytest.mark.parametrize("state", ENDED)
def test_a_video_goes_once_its_last_post_has_ended_long_ago(person: Person, state: str) -> None:
    video = stored_video(person)
    used(video, state, ended=timedelta(days=31))
    fresh = stored_video(person)
    used(fresh, state, ended=timedelta(days=31))
    used(fresh, state, ended=timedelta(days=29))

    archiving.archive_unused(cutoff())

    assert (read(video.id).state, read(fresh.id).state) == ("archived", "ready")


@pytest.mark.parametrize("state", sorted(archiving.UNENDED))
def test_a_video_stays_as_long_as_a_post_may_need_it(person: Person, settings: Settings, state: str) -> None:
    video = stored_video(person)
    used(video, state, ended=OLD)

    archiving.archive_unused(cutoff())
    archiving.remove_renditions(cutoff())
    remove_what_is_planned()

    assert (read(video.id).state, len(files(settings))) == ("ready", 3)


def test_figures_that_are_still_collected_do_not_keep_a_video(person: Person) -> None:
    video = stored_video(person)
    used(video, "published", ended=timedelta(0), published=timedelta(days=31))

    assert archiving.archive_unused(cutoff()) == 1
    assert read(video.id).state == "archived"


def test_renditions_have_a_time_of_their_own(database_url: str, person: Person, settings: Settings) -> None:
    video = stored_video(person)

    assert archiving.remove_renditions(cutoff()) == 1
    assert archiving.remove_renditions(cutoff()) == 0
    remove_what_is_planned()

    assert read(video.id).state == "ready"
    assert files(settings) == ["original.mp4", "thumbnail.jpg"]
    assert [(row.state, row.key) for row in db.session.scalars(select(Rendition))] == [("removed", None)]


def test_a_sweep_goes_on_until_nothing_is_left(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "BATCH", 2)
    for _ in range(5):
        make_video(person.workspace_id, created_at=clock.now() - OLD)
    seen: list[int] = []
    whole = archiving.archive_unused

    def counted(at: Any) -> int:
        seen.append(whole(at, limit=2))
        return seen[-1]

    monkeypatch.setattr(archiving, "archive_unused", counted)
    monkeypatch.setattr(
        archiving, "settings", lambda: Settings(retain_originals_days=30, retain_renditions_days=0)
    )
    archiving.sweep()

    assert seen == [2, 2, 1, 0]


def test_by_default_originals_are_kept_for_ever(person: Person) -> None:
    video = make_video(person.workspace_id, created_at=clock.now() - timedelta(days=3650))

    archiving.sweep()

    assert read(video.id).state == "ready"


# -- beside others


def test_a_worker_killed_before_the_bytes_were_removed_leaves_a_row_that_removes_them(
    person: Person, settings: Settings
) -> None:
    stored_video(person)
    archiving.archive_unused(cutoff())
    assert len(files(settings)) == 3  # and here the process dies

    (first, *_) = dispatch.claim(dispatch.WORK[1], clock.now())  # claimed by one that dies, too
    assert first is not None
    later = clock.now() + timedelta(minutes=5)
    for _, arguments in dispatch.claim(dispatch.WORK[1], later):
        uploads.expire(uuid.UUID(arguments[0]), arguments[1])

    assert files(settings) == ["thumbnail.jpg"]


class Race:
    """A post and a sweep of the timetable that begin together; the sweep a little later each time."""

    def __init__(self, app: Flask, person: Person) -> None:
        self._app, self._person = app, person
        self._channel_id = make_channel(person.workspace_id).id
        self.outcomes: list[str] = []
        db.session.rollback()

    def run(self, video_id: uuid.UUID, *, later: float) -> None:
        start = threading.Barrier(2)
        threads = [
            threading.Thread(target=self._post, args=(video_id, start)),
            threading.Thread(target=self._sweep, args=(start, later)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    def _post(self, video_id: uuid.UUID, start: threading.Barrier) -> None:
        given: Any = {
            "video_id": video_id, "caption": "Hello",
            "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
            "options": {"tiktok": {"privacy_level": "SELF_ONLY"}},
            "targets": [{"channel_id": self._channel_id}],
        }  # fmt: skip
        with self._app.app_context():
            start.wait(10)
            try:
                posts.create(given, self._person.principal)
            except AppException as refused:
                self.outcomes.append(refused.code)
            else:
                self.outcomes.append("posted")
            finally:
                db.session.remove()

    def _sweep(self, start: threading.Barrier, later: float) -> None:
        with self._app.app_context():
            start.wait(10)
            time.sleep(later)
            archiving.archive_unused(cutoff(), limit=1)
            db.session.remove()


def test_a_post_made_at_the_same_moment_keeps_its_video_or_is_refused(
    database_url: str, app: Flask, person: Person
) -> None:
    """Whoever comes first, no open target is ever left without its bytes."""
    rounds = [stored_video(person).id for _ in range(12)]
    race = Race(app, person)

    for number, video_id in enumerate(rounds):
        race.run(video_id, later=number * 0.004)
        targets = select(Target.id).where(Target.video_id == video_id, Target.state.in_(sorted(OPEN)))
        assert (read(video_id).state == "archived") != bool(db.session.scalars(targets).all())
        db.session.rollback()

    assert len(race.outcomes) == len(rounds)
    assert set(race.outcomes) <= {"posted", "PLATFORM_VALIDATION_ERROR"}
