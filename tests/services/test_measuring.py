from __future__ import annotations

import errno
import io
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app import clock, warm_stop
from app.exceptions import StorageError
from app.extensions import db
from app.models import Event, Target, Video
from app.queue import JobTimeout
from app.services import dispatch, measuring, thumbnails
from app.storage import get_storage, new_key
from tests.clips import make_clip
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture(scope="module")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3, size="360x640")
    return path.read_bytes()


def arrived(data: bytes, **columns: Any) -> Video:
    """A video whose bytes are in the store and which nobody has measured yet."""
    key = new_key("videos", uuid.uuid4(), "original.mp4")
    get_storage().put_stream(key, io.BytesIO(data), max_bytes=len(data))
    fresh = {"key": key, "state": "processing", "facts": None, "ready_at": None, "next_at": clock.now()}
    return make_video(make_person().workspace_id, **(fresh | columns))


def waiting_target(video: Video) -> Target:
    """A scheduled target that is held until its video is measured."""
    post = make_post(video, make_channel(video.workspace_id))
    db.session.execute(update(Target).where(Target.post_id == post.id).values(hold="media"))
    db.session.commit()
    return db.session.scalars(select(Target).where(Target.post_id == post.id)).one()


def read(video_id: uuid.UUID) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video_id, populate_existing=True)


def test_a_measured_video_is_ready_and_lets_its_targets_go(database_url: str, clip_bytes: bytes) -> None:
    video = arrived(clip_bytes)
    target = waiting_target(video)

    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.next_at, video.attempts) == ("ready", None, 0)
    assert video.facts is not None
    assert (video.facts["video_codec"], video.facts["height"]) == ("h264", 640)
    assert get_storage().size(str(video.thumbnail_key)) > 500
    db.session.refresh(target)
    assert (target.state, target.hold) == ("scheduled", None)


def test_a_file_that_is_no_video_is_rejected_and_fails_its_targets(database_url: str) -> None:
    video = arrived(b"ffconcat version 1.0\nfile /etc/passwd\n")
    target = waiting_target(video)

    measuring.measure(video.id, 0)

    assert read(video.id).state == "rejected"
    assert video.error is not None
    assert video.error["code"] == "VIDEO_VALIDATION_ERROR"
    assert "playlist" in video.error["message"]
    db.session.refresh(target)
    assert (target.state, target.hold, target.next_at) == ("failed", None, None)
    assert target.error is not None
    assert target.error["action"] == "edit"


def test_what_became_of_a_video_is_told_once(clip_bytes: bytes) -> None:
    video = arrived(clip_bytes)

    measuring.measure(video.id, 0)
    measuring.measure(video.id, 0)

    assert [event.type for event in db.session.scalars(select(Event))] == ["video.ready"]


def test_a_worker_that_lost_its_lease_writes_nothing(clip_bytes: bytes) -> None:
    video = arrived(clip_bytes, fence=2)

    measuring.measure(video.id, 1)
    measuring._settle(video.id, 1, "rejected", error={})

    assert read(video.id).state == "processing"


def test_a_full_disk_does_not_reject_the_video(clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    video = arrived(clip_bytes)

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("app.storage.private_folder.tempfile.TemporaryDirectory", full)
    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.attempts, video.lease_until) == ("processing", 0, None)
    assert video.next_at is not None
    assert video.error is not None
    assert "No space left" in video.error["message"]


def test_a_store_that_is_away_does_not_reject_the_video(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = arrived(clip_bytes)

    def away(_: str) -> None:
        raise StorageError

    monkeypatch.setattr(get_storage(), "local_path", away)
    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.attempts, video.lease_until) == ("processing", 0, None)
    assert video.next_at is not None
    assert video.next_at > clock.now() + timedelta(seconds=30)


def test_a_store_that_is_slower_than_a_worker_may_be_counts_as_no_death_of_it(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = arrived(clip_bytes)

    def slow(*_: object) -> None:
        raise JobTimeout("6 hours are over")

    monkeypatch.setattr(measuring, "measure_file", slow)
    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.attempts, video.lease_until) == ("processing", 0, None)
    assert video.next_at is not None and video.next_at > clock.now() + timedelta(seconds=30)
    assert video.error is not None
    assert (video.error["code"], video.error["message"]) == ("STORAGE_ERROR", measuring.TOO_SLOW)


def test_a_worker_that_is_asked_to_stop_hands_its_video_back(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = arrived(clip_bytes, attempts=1)

    def stopped(*_: object) -> None:
        raise warm_stop.Stopped

    monkeypatch.setattr(measuring, "measure_file", stopped)
    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.attempts, video.lease_until) == ("processing", 1, None)
    assert video.next_at is not None and video.next_at <= clock.now()


def test_a_video_whose_file_the_store_does_not_have_is_rejected_and_fails_its_targets(
    clip_bytes: bytes,
) -> None:
    video = arrived(clip_bytes)
    target = waiting_target(video)
    get_storage().delete(video.key)

    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.next_at) == ("rejected", None)
    assert "no longer has the file" in (video.error or {})["message"]
    db.session.refresh(target)
    assert (target.state, target.hold) == ("failed", None)


def test_a_video_without_a_picture_is_ready_all_the_same(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = arrived(clip_bytes)
    monkeypatch.setattr(thumbnails, "find_ffmpeg", lambda _: None)

    measuring.measure(video.id, 0)

    assert (read(video.id).state, video.thumbnail_key) == ("ready", None)


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing after it runs."""


def test_a_video_that_kills_its_workers_is_rejected_with_the_reason(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = arrived(clip_bytes)
    target = waiting_target(video)

    def die(_: Path) -> None:
        raise Killed

    monkeypatch.setattr(measuring, "measure_file", die)
    for hours in range(dispatch.MAX_DEATHS):
        ((_, (video_id, fence)),) = dispatch.claim(dispatch.WORK[0], clock.now() + timedelta(hours=hours))
        with pytest.raises(Killed):
            measuring.measure(uuid.UUID(video_id), fence)
    assert dispatch.claim(dispatch.WORK[0], clock.now() + timedelta(days=1)) == []

    assert read(video.id).state == "rejected"
    assert "several times" in (video.error or {})["message"]
    db.session.refresh(target)
    assert target.state == "failed"


def test_a_video_that_a_platform_does_not_take_fails_that_platforms_targets(tmp_path: Path) -> None:
    tiny = make_clip(tmp_path / "tiny.mp4", seconds=1, size="64x64", sound=False)
    video = arrived(tiny.read_bytes())
    target = waiting_target(video)

    measuring.measure(video.id, 0)

    assert read(video.id).state == "ready"
    db.session.refresh(target)
    assert target.state == "failed"
    assert "short_side" in (target.error or {})["details"]
