from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app import clock, create_app
from app.config import Settings
from app.extensions import db, settings
from app.models import Rendition, Upload, Video
from app.services import doctor, instance, removals, storage_check
from app.storage import get_storage, new_key
from tests.database import dispose
from tests.factories import Person, make_channel, make_person, make_post, make_video, only_target


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, make_settings: Any) -> Iterator[Flask]:
    """An installation on each kind of store, two hours after whatever a test has done."""
    extra = request.getfixturevalue("s3_settings") if request.param == "s3" else {}
    app = create_app(make_settings(storage_backend=request.param, **extra))
    with app.app_context():
        assert instance.check() is None
        yield app
    dispose(app)


@pytest.fixture
def person(place: Flask) -> Person:
    return make_person()


def put(key: str, data: bytes = b"bytes") -> str:
    get_storage().put_stream(key, io.BytesIO(data), max_bytes=len(data))
    return key


def stored_video(person: Person) -> Video:
    """A video whose files are all there."""
    backend = get_storage().backend
    video = make_video(person.workspace_id, backend=backend, size_bytes=5)
    folder = video.key.rpartition("/")[0]
    video.thumbnail_key, video.thumbnail_backend, video.thumbnail_bytes = f"{folder}/t.jpg", backend, 5
    row = Rendition(
        workspace_id=video.workspace_id, video_id=video.id, recipe_hash="h", state="ready", backend=backend,
        key=f"{folder}/r.mp4", size_bytes=5,
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    for key in (video.key, str(video.thumbnail_key), str(row.key)):
        put(key)
    return video


def found(*, hours: float = 2) -> list[tuple[str, str]]:
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        return sorted((each.kind, each.key) for each in storage_check.examine())


def repair() -> list[str]:
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        return [storage_check.repair(each) for each in list(storage_check.examine())]


def test_nothing_is_wrong_with_what_belongs_together(person: Person) -> None:
    stored_video(person)

    assert found() == []


def test_a_file_no_row_names_is_found_and_removed_only_on_request(person: Person) -> None:
    video = stored_video(person)
    stray = put(new_key("videos", uuid.uuid4(), "original.mp4"))

    assert found() == [("orphan", stray)]
    assert get_storage().exists(stray)
    assert repair() == ["removed"]

    assert (get_storage().exists(stray), get_storage().exists(video.key)) == (False, True)
    assert found() == []


def test_what_is_young_or_on_its_way_is_passed_over(person: Person) -> None:
    put(new_key("videos", uuid.uuid4(), "original.mp4"))
    assert found(hours=0.5) == []

    key = put(new_key("videos", uuid.uuid4(), "original.mp4"))
    removals.unless_kept(person.workspace_id, get_storage().backend, key)
    assert key not in [key for _, key in found()]


def test_what_a_cut_off_upload_left_is_found_and_removed(person: Person) -> None:
    key = new_key("videos", uuid.uuid4(), "original.mp4")
    leave_part(key)

    assert found() == [("leftover", key)]
    assert repair() == ["removed"]
    assert found() == []


def leave_part(key: str) -> None:
    """Leave what a SIGKILL in the middle of an upload leaves."""
    store: Any = get_storage()
    if store.backend == "s3":
        store._client.create_multipart_upload(Bucket=store._bucket, Key=key)
        return
    path: Path = settings().storage_dir / key
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.0123456789abcdef.part").write_bytes(b"half")


@pytest.mark.parametrize(
    ("column", "kind", "done"),
    [("key", "missing", "left"), ("thumbnail_key", "missing", "a new thumbnail is made")],
)
def test_a_row_without_its_file_is_found_and_mended_as_far_as_may_be(
    person: Person, column: str, kind: str, done: str
) -> None:
    video = stored_video(person)
    key = str(getattr(video, column))
    get_storage().delete(key)

    assert found() == [(kind, key)]
    assert repair()[0].startswith(done)

    db.session.rollback()
    row = db.session.get_one(Video, video.id, populate_existing=True)
    assert row.state == "ready"
    assert (row.thumbnail_wanted is not None) == (column == "thumbnail_key")


def test_a_rendition_without_its_file_is_made_anew(person: Person) -> None:
    stored_video(person)
    key = db.session.scalars(select(Rendition.key)).one()
    get_storage().delete(str(key))

    assert repair() == ["made anew when a post needs it"]
    assert db.session.scalars(select(Rendition.state)).one() == "removed"
    assert found() == []


def test_a_rendition_that_a_post_waits_with_is_made_anew_at_once(person: Person) -> None:
    video = stored_video(person)
    row = db.session.scalars(select(Rendition)).one()
    post = make_post(video, make_channel(video.workspace_id))
    target = only_target(post)
    target.rendition_id = row.id
    db.session.commit()
    get_storage().delete(str(row.key))

    assert repair() == ["made anew for the posts that wait for it"]
    db.session.rollback()
    row = db.session.get_one(Rendition, row.id, populate_existing=True)
    assert (row.state, row.next_at is not None) == ("processing", True)
    db.session.refresh(target)
    assert (target.state, target.hold) == ("scheduled", "media")


def test_a_file_of_another_size_is_told_and_left(person: Person) -> None:
    video = stored_video(person)
    put(video.key, b"other bytes")

    assert found() == [("short", video.key)]
    assert repair()[0].startswith("left")
    assert get_storage().exists(video.key)


def test_an_archived_video_needs_no_file(person: Person) -> None:
    make_video(person.workspace_id, state="archived", backend=get_storage().backend)

    assert found() == []


def test_files_we_never_made_are_none_of_our_business(context: Flask, settings: Settings) -> None:
    (settings.storage_dir / "lost+found").mkdir(parents=True)
    (settings.storage_dir / "videos" / "notes").mkdir(parents=True)
    for name in ("lost+found/x", "videos/notes/todo.txt", "readme"):
        path = settings.storage_dir / name
        path.write_text("mine")
        os.utime(path, (0, 0))

    assert list(get_storage().listing()) == []
    assert db.session.scalars(select(Upload)).all() == []


def test_the_doctor_looks_at_the_newest_only(person: Person) -> None:
    video = stored_video(person)
    assert [finding.level for finding in doctor._files()] == ["ok"]

    get_storage().delete(video.key)

    (finding,) = doctor._files()
    assert (finding.level, finding.remedy) == ("warn", "flask storage check")
    assert video.key in finding.message
