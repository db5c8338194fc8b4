from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app import clock, create_app
from app.exceptions import StateConflictError
from app.extensions import db, settings
from app.models import Instance, Rendition, Upload, Video
from app.queue import TASKS
from app.services import copying, dispatch, files, instance, originals, uploads, videos
from app.storage import get_storage
from tests.database import dispose
from tests.factories import Person, make_person, make_video


@pytest.fixture
def both(make_settings: Any, s3_settings: dict[str, str]) -> Iterator[Flask]:
    """An installation whose new files go to the folder and which knows a bucket, too."""
    app = create_app(make_settings(**s3_settings))
    with app.app_context():
        assert instance.check() is None
        yield app
    dispose(app)


@pytest.fixture
def person(both: Flask) -> Person:
    return make_person()


def put(key: str, data: bytes, backend: str) -> None:
    get_storage(backend).put_stream(key, io.BytesIO(data), max_bytes=len(data))


def stored_video(person: Person, *, backend: str = "folder", data: bytes = b"") -> Video:
    """A video with an original, a picture and a rendition, all in one store."""
    data = data or uuid.uuid4().bytes * 1000
    sha256 = hashlib.sha256(data).hexdigest()
    video = make_video(person.workspace_id, backend=backend, size_bytes=len(data), sha256=sha256)
    folder = video.key.rpartition("/")[0]
    video.thumbnail_key, video.thumbnail_backend, video.thumbnail_bytes = f"{folder}/t.jpg", backend, 7
    rendition = Rendition(
        workspace_id=video.workspace_id, video_id=video.id, recipe_hash="h", state="ready", backend=backend,
        key=f"{folder}/r.mp4", size_bytes=len(data), sha256=sha256,
    )  # fmt: skip
    db.session.add(rendition)
    db.session.commit()
    put(video.key, data, backend)
    put(video.thumbnail_key, b"picture", backend)
    put(str(rendition.key), data, backend)
    return video


def read(video: Video) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video.id, populate_existing=True)


def backends(video: Video) -> set[str | None]:
    row = read(video)
    return {row.backend, row.thumbnail_backend, *db.session.scalars(select(Rendition.backend))}


def outcomes(to: str) -> list[str]:
    return [moved.outcome for moved in copying.copy(to)]


def later(hours: float = 13.1) -> None:
    """Let the time of the longest job and an hour pass, and what is planned be removed."""
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        for _, arguments in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads.expire(uuid.UUID(arguments[0]), arguments[1])


def in_folder() -> list[str]:
    return sorted(path.name for path in settings().storage_dir.rglob("*") if path.is_file())


@pytest.mark.parametrize("way", [("folder", "s3"), ("s3", "folder")])
def test_files_move_with_their_bytes_and_the_old_ones_go(
    database_url: str, person: Person, way: tuple[str, str]
) -> None:
    before, after = way
    data = b"bytes" * 5000
    video = stored_video(person, backend=before, data=data)
    assert copying.work(after) == copying.Work(3, 2 * len(data) + 7)

    assert outcomes(after) == ["moved"] * 3
    assert get_storage(before).exists(video.key)
    later()

    assert backends(video) == {after}
    assert b"".join(get_storage(after).iter_range(video.key)) == data
    assert not get_storage(before).exists(video.key)
    assert get_storage(after).exists(video.key)
    assert copying.work(after) == copying.Work(0, 0)
    assert db.session.scalars(select(Upload)).all() == []


def test_the_old_file_outlasts_the_longest_job(person: Person) -> None:
    """A conversion that came out too large opens its source once more, hours after it read the row."""
    video = stored_video(person)
    outcomes("s3")

    later(max(task.timeout for task in TASKS.values()) / 3600 + 0.9)

    assert get_storage("folder").exists(video.key)


def test_there_and_back_before_the_old_files_go_loses_nothing(person: Person) -> None:
    video = stored_video(person)

    assert outcomes("s3") == ["moved"] * 3
    assert outcomes("folder") == ["moved"] * 3
    later()

    assert backends(video) == {"folder"}
    assert get_storage("folder").exists(video.key)
    assert len(in_folder()) == 3


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing after it runs."""


@pytest.mark.parametrize("where", ["unless_kept", "keep", "plan"])
def test_a_copy_that_was_killed_anywhere_goes_on_and_leaves_nothing(
    database_url: str, person: Person, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    video = stored_video(person)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(copying.removals, where, die)
        with pytest.raises(Killed):
            outcomes("s3")
    db.session.rollback()
    assert read(video).backend == "folder"
    assert get_storage("folder").exists(video.key)

    assert outcomes("s3") == ["moved"] * 3
    with time_machine.travel(clock.now() + timedelta(hours=25)):
        later()

    assert backends(video) == {"s3"}
    assert get_storage("s3").exists(video.key)
    assert in_folder() == []


def test_a_file_that_is_not_what_its_row_says_stays_where_it_is(person: Person) -> None:
    video = stored_video(person)
    put(video.key, b"other bytes, and another number of them", "folder")

    assert outcomes("s3") == ["damaged", "moved", "moved"]
    later()

    assert read(video).backend == "folder"
    assert not get_storage("s3").exists(video.key)


def test_a_missing_file_is_told_and_the_others_move(person: Person) -> None:
    video = stored_video(person)
    get_storage("folder").delete(video.key)

    assert outcomes("s3") == ["missing", "moved", "moved"]
    assert read(video).backend == "folder"


def test_a_video_deleted_while_it_is_copied_leaves_no_copy(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = stored_video(person)
    whole = copying._point

    def delete_first(place: Any, row: Any, to: str, promise: uuid.UUID) -> Any:
        if place.name == "originals":
            videos.delete(person.principal, video.id)
        return whole(place, row, to, promise)

    monkeypatch.setattr(copying, "_point", delete_first)
    assert outcomes("s3") == ["gone"]
    later()

    assert in_folder() == []
    assert not get_storage("s3").exists(video.key)


def test_who_read_the_row_before_goes_on_with_the_old_file(person: Person) -> None:
    """A staging that began before the copy reads on, also across chunks; one that begins later reads the new."""
    data = b"0123456789" * 1000
    video = stored_video(person, data=data)
    old = originals.source(video)
    link = originals.public_link(video, "video")
    first = old.open(0, 5000).read()

    outcomes("s3")
    rest = old.open(5000, 5000).read()
    new = originals.source(read(video))

    assert first + rest == data == new.open(0, len(data)).read()
    assert (old.storage.backend, new.storage.backend) == ("folder", "s3")
    later()
    token = urlsplit(link).path.split("/")[2]
    assert b"".join(files.find(token).read(0, len(data))) == data


def test_the_mark_of_the_instance_is_there_before_the_settings_change(
    person: Person, make_settings: Any, s3_settings: dict[str, str], both: Flask
) -> None:
    for generation in range(1, 4):
        assert instance.advance() == generation
        db.session.commit()
        instance.record(generation)
    outcomes("s3")
    db.session.remove()

    moved = create_app(make_settings(**s3_settings, storage_backend="s3"))
    with moved.app_context():
        assert instance.check() is None
    dispose(moved)


def test_a_database_that_was_restored_takes_no_files_with_it(person: Person) -> None:
    instance.advance()
    db.session.commit()
    instance.record(1)
    db.session.scalars(select(Instance)).one().generation = 0
    db.session.commit()
    video = stored_video(person)

    with pytest.raises(StateConflictError, match="flask adopt"):
        outcomes("s3")
    assert read(video).backend == "folder"


def test_uploads_under_way_are_counted_and_left(person: Person, tmp_path: Path) -> None:
    row = Upload(
        workspace_id=person.workspace_id, kind="video", backend="folder", key="videos/x/original.mp4",
        expires_at=clock.now() + timedelta(hours=1),
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()

    assert outcomes("s3") == []
    assert (copying.under_way("s3"), copying.under_way("folder")) == (1, 0)
