from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from app import clock
from app.config import Settings
from app.domain.principal import Principal
from app.exceptions import (
    PayloadTooLargeError,
    ResourceNotFoundError,
    StateConflictError,
    StorageError,
    ValidationError,
    VideoValidationError,
)
from app.extensions import db
from app.models import Event, Upload, Video
from app.services import dispatch, measuring, removals, thumbnails, uploads, videos
from app.storage import get_storage
from tests.clips import make_dull_clip, picture_bytes
from tests.factories import Person, make_person, make_video

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = make_dull_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
    return path.read_bytes()


@pytest.fixture(scope="module")
def picture() -> bytes:
    return picture_bytes()


@pytest.fixture
def person(context: object) -> Person:
    return make_person()


@pytest.fixture
def video(person: Person, clip: bytes) -> Iterator[Video]:
    """A measured video with its file and picture."""
    row = make_video(person.workspace_id, state="processing", facts=None, ready_at=None)
    get_storage().put_stream(row.key, io.BytesIO(clip), max_bytes=len(clip))
    measuring.measure(row.id, 0)
    yield read(row.id)


def read(video_id: uuid.UUID) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video_id, populate_existing=True)


def work_on(video: Video) -> None:
    """Do what a worker does with the video once it is claimed."""
    ((_, arguments),) = dispatch.claim(dispatch.WORK[0], clock.now())
    measuring.measure(video.id, arguments[1])
    thumbnails.make(video.id, arguments[1])


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.storage_dir.rglob("*") if path.is_file())


def removed() -> None:
    """Let a day and some hours pass, and what is planned be removed."""
    with time_machine.travel(clock.now() + timedelta(hours=27)):
        for _, arguments in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads.expire(uuid.UUID(arguments[0]), arguments[1])


def test_a_measured_video_shows_a_good_frame_and_when_it_was(database_url: str, video: Video) -> None:
    assert video.thumbnail_at is not None
    assert video.thumbnail_at >= 3.0
    assert video.thumbnail_bytes == get_storage().size(str(video.thumbnail_key))
    assert db.session.scalars(select(Upload)).all() == []


def test_any_frame_is_taken_by_its_time_and_the_old_picture_goes(
    database_url: str, person: Person, video: Video, settings: Settings
) -> None:
    old = str(video.thumbnail_key).rpartition("/")[2]
    thumbnails.choose(person.principal, video.id, at_seconds=0.5)
    assert videos.get(person.principal, video.id).thumbnail_pending

    work_on(video)
    removed()

    view = videos.get(person.principal, video.id)
    assert (view.thumbnail_at, view.thumbnail_pending, view.state) == (0.5, False, "ready")
    assert read(video.id).next_at is None
    assert len(files(settings)) == 2
    assert old not in files(settings)


def test_the_old_picture_stays_as_long_as_a_platform_may_be_fetching_it(
    person: Person, video: Video, settings: Settings
) -> None:
    thumbnails.choose(person.principal, video.id, at_seconds=0.5)
    work_on(video)

    assert len(files(settings)) == 3
    assert dispatch.claim(dispatch.WORK[1], clock.now()) == []


def test_a_picture_sent_while_a_worker_takes_a_frame_stays(
    database_url: str,
    person: Person,
    video: Video,
    picture: bytes,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = thumbnails._take_frame

    def slow(*args: Any, **options: Any) -> thumbnails.Picture:
        taken = take(*args, **options)
        thumbnails.put_image(person.principal, video.id, lambda: io.BytesIO(picture))
        return taken

    thumbnails.choose(person.principal, video.id, at_seconds=0.5)
    monkeypatch.setattr(thumbnails, "_take_frame", slow)
    work_on(video)
    removed()

    row = read(video.id)
    assert (row.thumbnail_at, row.next_at, row.lease_until, row.attempts) == (None, None, None, 0)
    assert len(files(settings)) == 2


def test_a_picture_sent_before_the_worker_begins_leaves_nothing_due(
    person: Person, video: Video, picture: bytes
) -> None:
    thumbnails.choose(person.principal, video.id, at_seconds=0.5)
    ((_, (_, fence)),) = dispatch.claim(dispatch.WORK[0], clock.now())
    thumbnails.put_image(person.principal, video.id, lambda: io.BytesIO(picture))
    thumbnails.make(video.id, fence)

    row = read(video.id)
    assert (row.thumbnail_at, row.next_at, row.lease_until) == (None, None, None)


def test_a_video_of_which_nothing_is_wanted_comes_due_once(person: Person, video: Video) -> None:
    video.next_at = clock.now()
    db.session.commit()

    work_on(video)

    assert (read(video.id).next_at, read(video.id).lease_until) == (None, None)


def test_a_good_frame_is_chosen_again_on_request(person: Person, video: Video, picture: bytes) -> None:
    thumbnails.put_image(person.principal, video.id, lambda: io.BytesIO(picture))
    assert read(video.id).thumbnail_at is None

    thumbnails.choose(person.principal, video.id, at_seconds=None)
    work_on(video)

    assert (read(video.id).thumbnail_at or 0) >= 3.0


@pytest.mark.parametrize("at", [4.5, 1e9])
def test_a_moment_outside_the_video_is_refused_and_changes_nothing(
    person: Person, video: Video, at: float
) -> None:
    with pytest.raises(ValidationError) as refused:
        thumbnails.choose(person.principal, video.id, at_seconds=at)

    assert "ends after" in refused.value.details["at_seconds"][0]
    assert read(video.id).next_at is None


@pytest.mark.parametrize("state", ["processing", "rejected", "archived"])
def test_a_video_without_frames_takes_none(person: Person, state: str) -> None:
    with pytest.raises(StateConflictError):
        thumbnails.choose(person.principal, make_video(person.workspace_id, state=state).id, at_seconds=0.0)


def test_a_sent_picture_is_shown_at_once(
    database_url: str, person: Person, video: Video, picture: bytes
) -> None:
    before = video.thumbnail_key

    thumbnails.put_image(person.principal, video.id, lambda: io.BytesIO(picture))

    row = read(video.id)
    assert (row.thumbnail_key != before, row.thumbnail_at) == (True, None)
    assert b"".join(get_storage().iter_range(str(row.thumbnail_key))).startswith(b"\xff\xd8\xff")
    assert [event.type for event in db.session.scalars(select(Event).order_by(Event.seq))][-1] == (
        "video.thumbnail_changed"
    )


def test_a_picture_sent_before_the_video_is_measured_stays(
    person: Person, clip: bytes, picture: bytes
) -> None:
    row = make_video(person.workspace_id, state="processing", facts=None, ready_at=None)
    get_storage().put_stream(row.key, io.BytesIO(clip), max_bytes=len(clip))
    thumbnails.put_image(person.principal, row.id, lambda: io.BytesIO(picture))

    measuring.measure(row.id, 0)

    assert (read(row.id).state, read(row.id).thumbnail_at) == ("ready", None)


def test_a_picture_that_cannot_be_used_changes_nothing(
    person: Person, video: Video, settings: Settings
) -> None:
    before = (video.thumbnail_key, files(settings))

    for data, error in ((b"no picture", VideoValidationError), (bytes(21 * 1024**2), PayloadTooLargeError)):
        with pytest.raises(error):
            thumbnails.put_image(person.principal, video.id, lambda sent=data: io.BytesIO(sent))

    assert (read(video.id).thumbnail_key, files(settings)) == before
    assert db.session.scalars(select(Upload)).all() == []
    assert list((settings.data_dir / "tmp").iterdir()) == []


def test_a_stranger_gives_no_pictures(video: Video, picture: bytes) -> None:
    stranger: Principal = make_person().principal

    with pytest.raises(ResourceNotFoundError):
        thumbnails.put_image(stranger, video.id, lambda: io.BytesIO(picture))
    with pytest.raises(ResourceNotFoundError):
        thumbnails.choose(stranger, video.id, at_seconds=1.0)


def test_a_picture_whose_maker_died_before_it_was_given_goes_again(
    person: Person, video: Video, picture: bytes, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    before = files(settings)
    monkeypatch.setattr(thumbnails, "_change", die)
    with pytest.raises(KeyboardInterrupt):
        thumbnails.put_image(person.principal, video.id, lambda: io.BytesIO(picture))
    db.session.rollback()
    assert len(files(settings)) == len(before) + 1

    removed()

    assert files(settings) == before


def test_a_picture_that_is_cleared_away_already_is_not_given(person: Person, video: Video) -> None:
    promise = removals.unless_kept(person.workspace_id, "folder", "videos/x/thumbnail.jpg")
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        dispatch.claim(dispatch.WORK[1], clock.now())

    with pytest.raises(StateConflictError):
        thumbnails.give(read(video.id), thumbnails.Picture({"thumbnail_key": "other"}, promise))

    assert read(video.id).thumbnail_key == video.thumbnail_key


def test_a_frame_that_kills_its_workers_is_given_up_and_told(person: Person, video: Video) -> None:
    thumbnails.choose(person.principal, video.id, at_seconds=1.0)
    for _ in range(dispatch.MAX_DEATHS):
        row = read(video.id)
        row.attempts, row.next_at = row.attempts + 1, clock.now()
        db.session.commit()

    assert dispatch.claim(dispatch.WORK[0], clock.now()) == []

    row = read(video.id)
    assert (row.state, row.next_at, row.thumbnail_wanted) == ("ready", None, None)
    assert row.thumbnail_key == video.thumbnail_key
    assert "video.thumbnail_failed" in [event.type for event in db.session.scalars(select(Event))]


def test_a_store_that_is_away_is_tried_again(
    person: Person, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> None:
        raise StorageError

    thumbnails.choose(person.principal, video.id, at_seconds=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(get_storage(), "local_path", away)
        work_on(video)
    row = read(video.id)
    assert row.next_at is not None
    assert row.next_at > clock.now() + timedelta(seconds=30)
    assert row.thumbnail_wanted == 1.0
