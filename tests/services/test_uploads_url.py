"""Importing from an address: what comes, what breaks off, what changes meanwhile, and what must not be reached."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from app import clock, warm_stop
from app.config import Settings
from app.exceptions import ValidationError
from app.extensions import db
from app.models import Event, IdempotencyKey, Upload, Video
from app.queue import IMPORT_UPLOAD
from app.services import dispatch, fetching, measuring, uploads_fetch, uploads_shown, uploads_url, videos
from app.services.uploads_shown import UploadView
from tests.clips import make_clip
from tests.factories import Person, make_person
from tests.services.origin import DRIP_SECONDS, DRIPS, Handler, Origin

SECRET = "sesame-17"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
    return path.read_bytes()


@pytest.fixture
def origin(clip: bytes) -> Iterator[Origin]:
    made = Origin(clip)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"origin": made})) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(outgoing_networks=("127.0.0.0/8",))


@pytest.fixture
def person(context: Flask) -> Person:
    return make_person()


def begin(person: Person, origin: Origin, **texts: str) -> UploadView:
    return uploads_url.create(person.principal, url=f"{origin.url}/film.mp4?key={SECRET}", **texts)


def work(*, after: timedelta = timedelta(0)) -> None:
    """Do what a worker would do to imports that are due by then."""
    with time_machine.travel(clock.now() + after):
        for kind in dispatch.WORK:
            if kind.task is IMPORT_UPLOAD:
                for _task, (id_, fence) in dispatch.claim(kind, clock.now()):
                    uploads_fetch.run(uuid.UUID(id_), fence)


def measure() -> None:
    for _task, (id_, fence) in dispatch.claim(dispatch.WORK[0], clock.now() + timedelta(hours=1)):
        measuring.measure(uuid.UUID(id_), fence)


def seen(person: Person, made: UploadView) -> UploadView:
    return uploads_shown.get(person.principal, made.id)


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.storage_dir.rglob("*") if path.is_file()]


def count(model: type[Any]) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_what_an_address_leads_to_becomes_a_video(database_url: str, person: Person, origin: Origin) -> None:
    made = begin(person, origin, title="Film")
    before = videos.get(person.principal, made.video_id or uuid.uuid4())
    work()
    measure()

    done = seen(person, made)
    video = videos.get(person.principal, done.video_id or uuid.uuid4())
    assert (before.state, before.file_url, made.source_host) == ("processing", None, "127.0.0.1")
    assert (done.state, done.offset_bytes, done.total_bytes) == ("done", len(origin.data), len(origin.data))
    assert (video.state, video.title, video.filename) == ("ready", "Film", "film.mp4")
    assert video.sha256 == hashlib.sha256(origin.data).hexdigest()


def test_what_breaks_off_goes_on_where_it_stopped(person: Person, origin: Origin, settings: Settings) -> None:
    origin.ways = ["breaks", "whole"]
    made = begin(person, origin)

    work()
    half = seen(person, made)
    work(after=timedelta(seconds=30))
    measure()

    assert (half.state, half.offset_bytes) == ("importing", len(origin.data) // 2)
    assert origin.asked[1]["Range"] == f"bytes={half.offset_bytes}-"
    video = videos.get(person.principal, seen(person, made).video_id or uuid.uuid4())
    assert (video.state, video.sha256) == ("ready", hashlib.sha256(origin.data).hexdigest())
    assert sorted(path.suffix for path in files(settings)) == [".jpg", ".mp4"]


@pytest.mark.parametrize("second", ["no ranges", "another file", "no validator"])
def test_nothing_is_put_together_of_two_files(person: Person, origin: Origin, second: str) -> None:
    origin.ways = ["breaks", "no ranges" if second == "no ranges" else "whole"]
    if second == "no validator":
        origin.etag = None
    made = begin(person, origin)
    work()
    if second == "another file":
        origin.etag = '"2"'

    work(after=timedelta(seconds=30))
    measure()

    video = videos.get(person.principal, seen(person, made).video_id or uuid.uuid4())
    assert (video.state, video.sha256) == ("ready", hashlib.sha256(origin.data).hexdigest())


def test_a_worker_that_died_is_followed_by_another(person: Person, origin: Origin) -> None:
    origin.ways = ["breaks", "whole"]
    made = begin(person, origin)
    work()
    db.session.execute(update(Upload).values(next_at=clock.now()))
    db.session.commit()
    (kind,) = [each for each in dispatch.WORK if each.task is IMPORT_UPLOAD]
    assert len(dispatch.claim(kind, clock.now())) == 1  # claimed, and its worker is never heard of again

    work()
    assert seen(person, made).state == "importing"
    work(after=timedelta(seconds=46))
    assert seen(person, made).state == "done"


def test_who_lost_the_lease_changes_nothing(person: Person, origin: Origin) -> None:
    made = begin(person, origin)
    (kind,) = [each for each in dispatch.WORK if each.task is IMPORT_UPLOAD]
    ((_task, (id_, fence)),) = dispatch.claim(kind, clock.now())
    db.session.execute(update(Upload).values(fence=fence + 1))
    db.session.commit()

    uploads_fetch.run(uuid.UUID(id_), fence)

    assert (seen(person, made).offset_bytes, origin.asked) == (0, [])


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["404"], "status 404"),
        (["packed"], "packed"),
        (["endless"], "at most"),
        (["to http://10.0.0.1/x"], "not a public one"),
        (["to ftp://127.0.0.1/x"], "not an http"),
        (["to http://user:pw@127.0.0.1/x"], "user name"),
        (["to /again"], "too many"),
    ],
)
def test_what_will_not_be_different_later_ends_at_once_and_leaves_nothing(
    person: Person, origin: Origin, settings: Settings, ways: list[str], said: str
) -> None:
    origin.ways = ways
    made = begin(person, origin)

    work()

    ended = seen(person, made)
    assert ended.state == "failed"
    assert said in (ended.error or {})["message"]
    assert (count(Video), files(settings)) == (0, [])


def test_a_page_instead_of_a_video_is_told(person: Person, origin: Origin) -> None:
    origin.data = b"<html><body>log in first</body></html>" * 200
    made = begin(person, origin)

    work()

    assert (seen(person, made).error or {})["code"] == "VIDEO_VALIDATION_ERROR"


def test_a_server_that_is_away_is_asked_again_and_given_up_in_the_end(person: Person, origin: Origin) -> None:
    origin.ways = ["503"]
    made = begin(person, origin)

    for number in range(uploads_fetch.MAX_TRIES):
        work(after=timedelta(seconds=400 * number))

    assert len(origin.asked) == uploads_fetch.MAX_TRIES
    assert (seen(person, made).error or {})["details"]["reason"] == "it answered with status 503"


def test_a_length_nobody_announced_is_counted(person: Person, origin: Origin) -> None:
    origin.ways = ["unknown length"]
    made = begin(person, origin)

    work()

    assert seen(person, made).total_bytes == len(origin.data)


@pytest.mark.parametrize(
    ("way", "module", "limit", "seconds"),
    [("drips", uploads_fetch, "WINDOW", 0.2), ("drips its head", fetching, "HEAD_SECONDS", 0.3)],
    ids=["body", "head"],
)
def test_who_drips_is_left_and_asked_again(
    person: Person,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    module: ModuleType,
    limit: str,
    seconds: float,
) -> None:
    monkeypatch.setattr(module, limit, seconds)
    origin.ways = [way]
    made = begin(person, origin)

    began = time.monotonic()
    work()

    assert time.monotonic() - began < DRIPS * DRIP_SECONDS / 2
    row = db.session.get_one(Upload, made.id, populate_existing=True)
    assert (row.state, row.source["tries"]) == ("importing", 1)
    assert row.next_at is not None and row.next_at > clock.now()


def test_a_worker_that_is_asked_to_stop_leaves_it_to_the_next_as_far_as_it_is(
    person: Person, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin(person, origin)
    whole = uploads_fetch._pour

    def stopped(*parts: Any) -> None:
        whole(*parts)
        raise warm_stop.Stopped

    monkeypatch.setattr(uploads_fetch, "_pour", stopped)
    work()
    row = db.session.get_one(Upload, made.id, populate_existing=True)
    handed_back = (row.state, row.attempts, row.lease_until)
    monkeypatch.setattr(uploads_fetch, "_pour", whole)
    work()

    assert handed_back == ("importing", 0, None)
    assert seen(person, made).state == "done"


def test_a_redirect_to_what_is_no_address_ends_it_and_is_told(person: Person, origin: Origin) -> None:
    origin.ways = ["to http://[x"]
    made = begin(person, origin)

    work()

    view = seen(person, made)
    assert view.state == "failed" and view.error is not None
    assert "a redirect to something that is no address" in view.error["message"]


def test_a_long_import_lets_others_go_first(
    person: Person, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_fetch, "TURN", 0.0)
    monkeypatch.setattr(uploads_fetch, "READ_BYTES", 20_000)
    made = begin(person, origin)

    offsets = []
    while seen(person, made).state == "importing":
        work()
        offsets.append(seen(person, made).offset_bytes)

    assert len(offsets) > 2
    assert offsets == sorted(offsets)
    assert seen(person, made).state == "done"


@pytest.mark.parametrize("url", ["http://10.0.0.1/x.mp4", "ftp://example.com/x", "http://169.254.169.254/"])
def test_an_address_inside_is_refused_at_once(person: Person, url: str) -> None:
    with pytest.raises(ValidationError):
        uploads_url.create(person.principal, url=url)
    assert (count(Upload), count(Video)) == (0, 0)


def test_the_address_is_a_secret(
    person: Person, origin: Origin, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    origin.ways = ["503", "404"]
    begin(person, origin)
    work()
    work(after=timedelta(seconds=60))

    db.session.rollback()
    rows = [db.session.scalars(select(model)).all() for model in (Upload, Event, Video, IdempotencyKey)]
    text = str([[vars(row) for row in found] for found in rows]) + caplog.text
    assert SECRET not in text
    assert SECRET.encode() not in (settings.data_dir / "scheduler.db").read_bytes()


def test_an_import_that_is_ended_takes_its_video_with_it(
    person: Person, origin: Origin, settings: Settings
) -> None:
    origin.ways = ["breaks"]
    made = begin(person, origin)
    work()

    uploads_shown.end(person.principal, made.id)
    work(after=timedelta(hours=1))

    assert (count(Upload), count(Video), files(settings)) == (0, 0, [])
