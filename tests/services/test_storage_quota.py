from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app import create_app
from app.exceptions import AppException, ResourceNotFoundError, StorageQuotaError
from app.extensions import db
from app.models import Rendition, Upload, Video
from app.services import removals, storage_quota, uploads, videos
from tests.clips import make_clip
from tests.database import dispose
from tests.factories import Person, make_person, make_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=1).read_bytes()


@pytest.fixture
def limited(make_settings: Any, clip: bytes) -> Iterator[Flask]:
    """An installation where each workspace may store three such clips and a half."""
    app = create_app(make_settings(workspace_storage_bytes=len(clip) * 7 // 2))
    with app.app_context():
        yield app
    dispose(app)


@pytest.fixture
def person(limited: Flask) -> Person:
    return make_person()


class Sent:
    """A clip as somebody sends it; the length may be announced or not."""

    filename = "clip.mp4"

    def __init__(self, data: bytes, *, announced: bool = True) -> None:
        self._data, self.total_bytes = io.BytesIO(data), len(data) if announced else None

    def read(self, size: int, /) -> bytes:
        return self._data.read(size)

    def finish(self) -> dict[str, str]:
        return {}


def counted(person: Person) -> int:
    db.session.rollback()
    return storage_quota.usage(person.workspace_id).counted_bytes


@pytest.mark.parametrize("announced", ["announced", "unknown"])
def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(
    database_url: str, person: Person, clip: bytes, announced: str
) -> None:
    for _ in range(3):
        uploads.receive(person.principal, Sent(clip, announced=announced == "announced"))

    with pytest.raises(StorageQuotaError) as refused:
        uploads.receive(person.principal, Sent(clip, announced=announced == "announced"))

    details = refused.value.details
    assert details["used"] == 3 * len(clip)
    assert details["found"] > details["allowed"] == len(clip) * 7 // 2
    assert counted(person) == 3 * len(clip)
    assert db.session.scalars(select(Upload)).all() == []


@pytest.mark.parametrize("announced", ["announced", "unknown"])
def test_uploads_that_begin_together_never_exceed_it(
    database_url: str, limited: Flask, person: Person, clip: bytes, announced: str
) -> None:
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def send() -> None:
        with limited.app_context():
            start.wait(30)
            try:
                uploads.receive(person.principal, Sent(clip, announced=announced == "announced"))
            except AppException as refused:
                outcomes.append(refused.code)
            else:
                outcomes.append("stored")
            finally:
                db.session.remove()

    db.session.rollback()
    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(outcomes) == 8
    assert set(outcomes) == {"stored", "STORAGE_QUOTA_EXCEEDED"}
    assert outcomes.count("stored") <= 3
    assert counted(person) == outcomes.count("stored") * len(clip)


def test_what_is_let_go_makes_room(person: Person, clip: bytes) -> None:
    made = [uploads.receive(person.principal, Sent(clip)) for _ in range(3)]
    videos.delete(person.principal, made[0])
    db.session.get_one(Video, made[1]).state = "ready"
    db.session.commit()
    videos.archive(person.principal, made[1])

    for _ in range(2):
        uploads.receive(person.principal, Sent(clip))

    assert counted(person) == 3 * len(clip)


def test_another_workspace_has_room_of_its_own(person: Person, clip: bytes) -> None:
    for _ in range(3):
        uploads.receive(person.principal, Sent(clip))

    uploads.receive(make_person().principal, Sent(clip))


def test_an_operator_gives_a_workspace_more_or_no_limit(person: Person, clip: bytes) -> None:
    for limit in (len(clip), 2 * len(clip)):
        storage_quota.set_limit(person.workspace_id, limit)
        uploads.receive(person.principal, Sent(clip))
        with pytest.raises(StorageQuotaError):
            uploads.receive(person.principal, Sent(clip))
    storage_quota.set_limit(person.workspace_id, 0)
    for _ in range(3):
        uploads.receive(person.principal, Sent(clip))
    storage_quota.set_limit(person.workspace_id, None)
    with pytest.raises(StorageQuotaError):
        uploads.receive(person.principal, Sent(clip))
    with pytest.raises(ResourceNotFoundError):
        storage_quota.set_limit(uuid.uuid4(), 1)


def test_the_usage_counts_each_kind_once(person: Person) -> None:
    video = make_video(person.workspace_id, size_bytes=100, thumbnail_key="videos/x/t.jpg", thumbnail_bytes=7)
    make_video(person.workspace_id, size_bytes=1000, state="archived")
    make_video(make_person().workspace_id, size_bytes=10_000)
    for state, key in (("ready", "renditions/x/a.mp4"), ("removed", None)):
        db.session.add(
            Rendition(
                workspace_id=person.workspace_id, video_id=video.id, recipe_hash=state, state=state,
                backend="folder", key=key, size_bytes=50,
            )
        )  # fmt: skip
    db.session.commit()
    removals.unless_kept(person.workspace_id, "folder", "videos/x/other.jpg")

    usage = storage_quota.usage(person.workspace_id)

    assert (usage.originals, usage.uploads) == (storage_quota.Files(1, 100), storage_quota.Files(0, 0))
    assert (usage.renditions, usage.thumbnails) == (storage_quota.Files(1, 50), storage_quota.Files(1, 7))
    assert usage.counted_bytes == 100
