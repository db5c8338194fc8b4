"""Making renditions: with the real ffmpeg where it works, and with every end a conversion can have."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from app import clock, warm_stop
from app.domain.recipe import Recipe
from app.exceptions import AppException, StorageError, VideoConversionError, VideoProcessingError
from app.extensions import db, settings
from app.media import measure
from app.models import Event, Post, Rendition, Target, Upload, Video
from app.queue import JobTimeout
from app.services import conversion_ends, converting, dispatch, renditions, work_folders
from app.storage import get_storage, new_key
from tests.clips import make_clip
from tests.factories import make_channel, make_person, make_post, make_video, only_target

pytestmark = pytest.mark.usefixtures("context")
AWAY = OperationalError("UPDATE", {}, Exception("gone"))
WORK = next(work for work in dispatch.WORK if work.model is Rendition)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds whose index comes last."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3, size="360x640", extra=())


def waiting(clip: Path, platform: str = "instagram", **columns: Any) -> Post:
    """A post whose video is in the store and needs a rendition."""
    data = clip.read_bytes()
    key = new_key("videos", uuid.uuid4(), "original.mp4")
    get_storage().put_stream(key, io.BytesIO(data), max_bytes=len(data))
    facts = measure(clip).to_dict()
    video = make_video(make_person().workspace_id, key=key, size_bytes=len(data), facts=facts)
    post = make_post(video, make_channel(video.workspace_id, platform=platform), **columns)
    renditions.assign(Target.post_id == post.id)
    Target.reckon_holds(Target.post_id == post.id)
    db.session.commit()
    assert only_target(post).hold == "media"
    return post


def run(*, hours: float = 0) -> None:
    """Do as dispatcher and worker do with what is due `hours` from now."""
    for _, (id_, fence) in dispatch.claim(WORK, clock.now() + timedelta(hours=hours)):
        converting.make(uuid.UUID(id_), fence)


def rendition() -> Rendition:
    db.session.rollback()
    return db.session.scalars(select(Rendition).execution_options(populate_existing=True)).one()


def target_of(post: Post) -> Target:
    db.session.rollback()
    found = only_target(post)
    db.session.refresh(found)
    return found


def folders() -> list[Path]:
    return list((settings().data_dir / "tmp").glob(f"{work_folders.PREFIX}*"))


def ending(error: BaseException) -> Any:
    def convert(*_: Any, **__: Any) -> None:
        raise error

    return convert


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing after it runs."""


def test_a_remux_is_made_measured_stored_and_lets_its_target_go(database_url: str, clip: Path) -> None:
    post = waiting(clip)

    run()

    row = rendition()
    assert (row.state, row.progress, row.next_at, row.attempts) == ("ready", 1.0, None, 0)
    assert (
        row.facts is not None and row.facts["is_fast_start"] is True and row.facts["has_edit_list"] is False
    )
    assert get_storage().size(str(row.key)) == row.size_bytes
    assert target_of(post).hold is None
    assert folders() == []
    assert "rendition.ready" in db.session.scalars(select(Event.type)).all()


def test_a_picture_is_encoded_for_who_needs_it(tmp_path: Path) -> None:
    webm = make_clip(tmp_path / "clip.webm", seconds=3, size="180x320", extra=("-c:a", "libopus"))
    waiting(webm)

    run()

    row = rendition()
    assert row.facts is not None
    assert (row.state, row.facts["video_codec"], row.facts["audio_codec"]) == ("ready", "h264", "aac")


def test_a_worker_that_dies_twice_ends_it_with_the_reason_and_it_is_not_begun_again(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(Killed()))
    for hours in (0, 1):
        with pytest.raises(Killed):
            run(hours=hours)
    run(hours=2)

    assert (rendition().state, target_of(post).state) == ("failed", "failed")
    error = target_of(post).error or {}
    assert (error["kind"], error["action"]) == ("media", "edit")
    assert "several times" in error["message"]

    video, recipe = db.session.get_one(Video, post.video_id), Recipe.from_dict(rendition().recipe)
    renditions.want(video, measure(clip), recipe)
    db.session.commit()
    run(hours=3)
    assert rendition().state == "failed"


def test_a_job_that_runs_out_of_its_time_has_failed_and_killed_nobody(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(JobTimeout("12 hours are over")))

    run()

    row = rendition()
    assert (row.state, row.attempts, row.lease_until) == ("failed", 0, None)
    assert (row.error or {})["message"] == converting.TOO_LONG
    assert (target_of(post).error or {})["message"].startswith("Converting this video took longer")
    assert folders() == []


def test_what_workers_stored_before_they_died_goes_when_it_is_given_up(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(clip)
    monkeypatch.setattr(conversion_ends, "settle_ready", ending(Killed()))
    for hours in (0, 1):
        with pytest.raises(Killed):
            run(hours=hours)
    key = str(rendition().key)
    assert get_storage().exists(key)
    run(hours=2)

    assert (rendition().state, rendition().key) == ("failed", None)
    assert key in db.session.scalars(select(Upload.key).where(Upload.kind == "removal")).all()


@pytest.mark.parametrize("crashed", [True, False])
def test_an_ffmpeg_that_crashes_is_tried_once_more_and_one_that_refuses_is_not(
    clip: Path, monkeypatch: pytest.MonkeyPatch, *, crashed: bool
) -> None:
    post = waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(VideoConversionError(details={"crashed": crashed})))

    run()
    assert rendition().state == ("processing" if crashed else "failed")
    run(hours=1)

    assert (rendition().state, target_of(post).state) == ("failed", "failed")


@pytest.mark.parametrize("error", [StorageError(), VideoProcessingError()])
def test_trouble_of_ours_is_tried_again_later_and_the_target_waits(
    clip: Path, monkeypatch: pytest.MonkeyPatch, error: AppException
) -> None:
    post = waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(error))

    run()

    row = rendition()
    assert (row.state, row.attempts, row.retries, row.lease_until) == ("processing", 0, 1, None)
    assert row.next_at is not None and row.next_at > clock.now() + timedelta(seconds=5)
    assert (row.error or {})["code"] == error.code
    assert (target_of(post).state, target_of(post).hold) == ("scheduled", "media")
    assert folders() == []
    monkeypatch.undo()
    run(hours=1)
    assert rendition().state == "ready"


@pytest.fixture
def stoppable() -> Iterator[None]:
    """Forget afterwards that this process was asked to stop."""
    yield
    warm_stop._process.is_asked = False


def test_a_worker_asked_to_stop_ends_its_conversion_at_once_and_no_number_of_stops_ends_the_video(
    database_url: str, clip: Path, monkeypatch: pytest.MonkeyPatch, stoppable: None
) -> None:
    post = waiting(clip)
    begun: list[Path] = []

    def long(*args: Any, **_: Any) -> None:
        begun.append(args[3])
        args[3].write_bytes(b"half")
        warm_stop._on_signal(warm_stop.SIGNAL, None)
        raise AssertionError("it went on")

    monkeypatch.setattr(converting, "convert", long)
    for _ in range(conversion_ends.MAX_DEATHS + 1):
        run()
        row = rendition()
        assert (row.state, row.attempts, row.retries, row.lease_until) == ("processing", 0, 0, None)
        assert row.next_at is not None and row.next_at <= clock.now()
        assert folders() == []
        warm_stop._process.is_asked = False
    assert len(begun) == conversion_ends.MAX_DEATHS + 1
    monkeypatch.undo()
    run()

    assert (rendition().state, target_of(post).hold) == ("ready", None)


def test_a_worker_that_was_asked_to_stop_before_it_began_does_not_begin(
    clip: Path, monkeypatch: pytest.MonkeyPatch, stoppable: None
) -> None:
    waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(AssertionError("it began")))
    warm_stop.ask()

    run()

    assert (rendition().state, rendition().attempts) == ("processing", 0)


def test_what_is_asked_to_stop_once_it_is_made_is_settled(
    clip: Path, monkeypatch: pytest.MonkeyPatch, stoppable: None
) -> None:
    waiting(clip)
    settle = conversion_ends.settle_ready

    def asked(*args: Any) -> None:
        warm_stop._on_signal(warm_stop.SIGNAL, None)
        settle(*args)

    monkeypatch.setattr(conversion_ends, "settle_ready", asked)
    run()

    assert rendition().state == "ready"


@pytest.mark.parametrize(
    ("error", "code"), [(AWAY, "DATABASE_ERROR"), (OSError("no fork"), "VIDEO_PROCESSING_ERROR")]
)
def test_a_database_or_machine_in_trouble_is_no_worker_that_died(
    clip: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    waiting(clip)
    monkeypatch.setattr(converting, "convert", ending(error))

    for hours in range(conversion_ends.MAX_DEATHS + 1):
        run(hours=hours)

    row = rendition()
    assert (row.state, row.attempts, row.lease_until) == ("processing", 0, None)
    assert row.retries == conversion_ends.MAX_DEATHS + 1
    assert row.next_at is not None and row.next_at > clock.now() + timedelta(seconds=5)
    assert (row.error or {})["code"] == code


def test_a_database_that_is_away_is_waited_for(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(clip)
    away = [AWAY, AWAY]
    postpone = conversion_ends._postpone

    def once_it_is_back(*args: Any, **columns: Any) -> None:
        if away:
            raise away.pop()
        postpone(*args, **columns)

    monkeypatch.setattr(converting, "convert", ending(AWAY))
    monkeypatch.setattr(conversion_ends, "_postpone", once_it_is_back)
    monkeypatch.setattr(conversion_ends, "PATIENCE", (0.0, 0.0, 0.0))
    run()

    assert (rendition().attempts, rendition().lease_until, away) == (0, None, [])


def test_what_came_out_wrong_does_not_count(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post = waiting(clip)

    def careless(source: Path, *args: Any, **_: Any) -> None:
        args[2].write_bytes(source.read_bytes())

    monkeypatch.setattr(converting, "convert", careless)
    run()

    assert (rendition().state, target_of(post).state) == ("failed", "failed")
    assert "fast_start" in (target_of(post).error or {})["details"]
    assert rendition().key is None


def test_what_no_target_needs_any_more_is_not_made(clip: Path) -> None:
    post = waiting(clip)
    db.session.execute(update(Target).where(Target.post_id == post.id).values(state="cancelled"))
    db.session.commit()

    run()

    row = rendition()
    assert (row.state, row.key, row.next_at) == ("removed", None, None)


def test_a_conversion_ends_when_its_last_target_is_cancelled(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = waiting(clip)
    heard: list[float] = []

    def slow(*_: Any, on_progress: Any, **__: Any) -> None:
        for done in (0.1, 0.2, 0.3):
            heard.append(done)
            on_progress(done, 9.0)
            db.session.execute(update(Target).where(Target.post_id == post.id).values(state="cancelled"))
            db.session.commit()

    monkeypatch.setattr(converting, "convert", slow)
    monkeypatch.setattr(converting, "NOTED_EVERY", 0.0)
    run()

    assert heard == [0.1, 0.2]
    assert rendition().state == "removed"
    assert folders() == []


def test_progress_is_written_down_while_it_is_made(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(clip)
    seen: list[tuple[float, float | None]] = []

    def slow(*_: Any, on_progress: Any, **__: Any) -> None:
        on_progress(0.25, 30.0)
        row = rendition()
        seen.append((row.progress, row.remaining_seconds))
        raise Killed

    monkeypatch.setattr(converting, "convert", slow)
    with pytest.raises(Killed):
        run()

    assert seen == [(0.25, 30.0)]


def test_a_worker_that_lost_its_lease_leaves_nothing(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(clip)
    real = converting.convert

    def overtaken(*args: Any, **options: Any) -> None:
        real(*args, **options)
        db.session.execute(update(Rendition).values(fence=Rendition.fence + 1))
        db.session.commit()

    monkeypatch.setattr(converting, "convert", overtaken)
    run()

    row = rendition()
    assert row.state == "processing"
    assert not get_storage().exists(str(row.key))


def test_the_next_worker_clears_away_what_a_dead_one_left(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(clip)
    ((_, (id_, fence)),) = dispatch.claim(WORK, clock.now())
    job = converting._take(uuid.UUID(id_), fence)
    assert job is not None
    get_storage().put_stream(job.key, io.BytesIO(b"half"), max_bytes=4)
    left = settings().data_dir / "tmp" / f"{work_folders.PREFIX}{id_}.{fence}"
    left.mkdir(parents=True)
    (left / "rendition.mp4").write_bytes(b"half")

    run(hours=1)

    assert rendition().state == "ready"
    assert rendition().key != job.key
    assert not left.exists()
    assert job.key in db.session.scalars(select(Upload.key).where(Upload.kind == "removal")).all()
