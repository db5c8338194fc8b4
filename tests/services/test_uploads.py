from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update

from app import clock
from app.config import Settings
from app.exceptions import StateConflictError, StorageError, VideoValidationError
from app.extensions import db
from app.models import Upload, Video
from app.queue import EXPIRE_UPLOAD, JobTimeout
from app.services import dispatch, uploads, uploads_ending
from app.storage import get_storage
from tests.clips import make_clip
from tests.factories import make_person

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture(scope="module")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
    return path.read_bytes()


class Sent:
    """A file as somebody sends it; `then` happens after the first bytes were read."""

    filename, total_bytes = "clip.mp4", None

    def __init__(self, data: bytes, *, then: Exception | None = None) -> None:
        self._data, self._then, self._reads = io.BytesIO(data), then, 0

    def read(self, size: int, /) -> bytes:
        self._reads += 1
        if self._then and self._reads > 1:
            raise self._then
        return self._data.read(size)

    def finish(self) -> Mapping[str, str]:
        return {"title": "Hello"}


def count(model: type[Video] | type[Upload]) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.storage_dir.rglob("*") if path.is_file()]


def test_a_video_takes_the_place_of_its_upload(database_url: str, clip_bytes: bytes) -> None:
    person = make_person()

    video_id = uploads.receive(person.principal, Sent(clip_bytes))

    video = db.session.get_one(Video, video_id)
    assert (video.workspace_id, video.title, video.state) == (person.workspace_id, "Hello", "processing")
    assert video.next_at is not None
    assert video.next_at <= clock.now()
    assert count(Upload) == 0
    assert get_storage().size(video.key) == video.size_bytes == len(clip_bytes)


def test_a_sender_that_goes_away_leaves_nothing(settings: Settings, clip_bytes: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        uploads.receive(make_person().principal, Sent(clip_bytes, then=ConnectionResetError()))

    assert (count(Video), count(Upload), files(settings)) == (0, 0, [])


def test_no_transaction_is_open_while_bytes_arrive(clip_bytes: bytes) -> None:
    class Looking(Sent):
        def read(self, size: int, /) -> bytes:
            assert not db.session.registry.has() or not db.session().in_transaction()
            return super().read(size)

    principal = make_person().principal
    db.session.rollback()

    assert uploads.receive(principal, Looking(clip_bytes))


def test_what_a_killed_process_left_goes_when_its_time_is_over(settings: Settings, clip_bytes: bytes) -> None:
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")
    get_storage().put_stream(place.key, io.BytesIO(clip_bytes), max_bytes=len(clip_bytes))

    assert dispatch.claim(dispatch.WORK[1], clock.now()) == []
    (job,) = dispatch.claim(dispatch.WORK[1], clock.now() + uploads.LIFE)
    uploads.expire(uuid.UUID(job[1][0]), job[1][1])

    assert (count(Upload), files(settings)) == (0, [])


def test_an_upload_that_was_cleared_away_cannot_become_a_video(settings: Settings, clip_bytes: bytes) -> None:
    class Slow(Sent):
        def finish(self) -> Mapping[str, str]:
            dispatch.claim(dispatch.WORK[1], clock.now() + uploads.LIFE)
            return super().finish()

    with pytest.raises(StateConflictError, match="too long"):
        uploads.receive(make_person().principal, Slow(clip_bytes))
    assert (count(Video), files(settings)) == (0, [])


def test_an_upload_that_still_moves_does_not_expire(clip_bytes: bytes) -> None:
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")
    progress = uploads._Progress(place.upload_id)

    with time_machine.travel(clock.now() + timedelta(minutes=50)):
        progress._noted_at -= uploads.NOTED_EVERY
        progress(12345)

    row = db.session.get_one(Upload, place.upload_id, populate_existing=True)
    assert row.offset_bytes == 12345
    assert row.expires_at > clock.now() + timedelta(minutes=100)


def test_an_upload_whose_row_is_gone_is_stopped(clip_bytes: bytes) -> None:
    progress = uploads._Progress(uuid.uuid4())
    progress._noted_at -= uploads.NOTED_EVERY

    with pytest.raises(StateConflictError):
        progress(1)


def test_a_file_the_store_will_not_remove_is_tried_again(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")

    def refuse(_: str) -> None:
        raise StorageError

    monkeypatch.setattr(get_storage(), "discard", refuse)
    uploads.expire(place.upload_id, 0)

    row = db.session.get_one(Upload, place.upload_id, populate_existing=True)
    assert row.next_at is not None
    assert row.next_at > clock.now()


@pytest.mark.parametrize("trouble", [StorageError(), JobTimeout("an hour is over")])
def test_a_store_that_is_away_or_slow_for_long_is_no_reason_to_give_an_upload_up(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")
    db.session.execute(update(Upload).values(state="finishing", next_at=clock.now()))
    db.session.commit()

    def away(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(get_storage(), "finish_growing", away)
    work = next(work for work in dispatch.WORK if work.task is EXPIRE_UPLOAD)
    for turn in range(dispatch.MAX_DEATHS + 1):
        ((_, (id_, fence)),) = dispatch.claim(work, clock.now() + timedelta(minutes=6 * turn))
        uploads_ending.attend(uuid.UUID(id_), fence)

    row = db.session.get_one(Upload, place.upload_id, populate_existing=True)
    assert (row.state, row.attempts, row.lease_until) == ("finishing", 0, None)
    assert row.next_at is not None
    assert row.next_at < clock.now() + timedelta(minutes=6)


def test_an_upload_that_has_all_come_and_is_gone_from_the_store_ends(clip_bytes: bytes) -> None:
    uploads.receive(make_person().principal, Sent(clip_bytes))  # the store is there
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")
    finishing = {"state": "finishing", "offset_bytes": 5, "next_at": clock.now()}
    db.session.execute(update(Upload).values(**finishing))
    db.session.commit()

    uploads_ending.attend(place.upload_id, 0)

    row = db.session.get_one(Upload, place.upload_id, populate_existing=True)
    assert (row.state, (row.error or {})["code"]) == ("failed", "UPLOAD_GONE")


def test_an_expired_claim_removes_nothing(settings: Settings, clip_bytes: bytes) -> None:
    place = uploads._open(make_person().principal, Sent(clip_bytes), "mp4")
    get_storage().put_stream(place.key, io.BytesIO(b"x"), max_bytes=1)
    db.session.execute(update(Upload).values(fence=5))
    db.session.commit()

    uploads.expire(place.upload_id, 4)

    assert len(files(settings)) == 1


def test_uploads_are_counted_by_how_they_end(clip_bytes: bytes) -> None:
    principal = make_person().principal

    def counted(status: str) -> float:
        return REGISTRY.get_sample_value("video_uploads_total", {"status": status}) or 0.0

    before = {status: counted(status) for status in ("success", "rejected", "failed")}
    uploads.receive(principal, Sent(clip_bytes))
    with pytest.raises(VideoValidationError):
        uploads.receive(principal, Sent(b"text"))
    with pytest.raises(OSError):
        uploads.receive(principal, Sent(clip_bytes, then=OSError()))

    assert {status: counted(status) - before[status] for status in before} == dict.fromkeys(before, 1.0)
