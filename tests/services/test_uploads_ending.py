"""How uploads end whose video is already there."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app import clock
from app.config import Settings
from app.extensions import db
from app.models import Upload, Video
from app.queue import EXPIRE_UPLOAD
from app.services import dispatch, uploads_ending, videos
from tests.factories import Person
from tests.services.test_uploads_url import (  # noqa: F401 - some are fixtures
    Origin,
    begin,
    clip,
    count,
    files,
    origin,
    person,
    seen,
    settings,
    work,
)


def attend() -> None:
    """Do what a worker would do to uploads that have ended."""
    for kind in dispatch.WORK:
        if kind.task is EXPIRE_UPLOAD:
            for _task, (id_, fence) in dispatch.claim(kind, clock.now()):
                uploads_ending.attend(uuid.UUID(id_), fence)


@pytest.mark.parametrize("state", ["importing", "finishing"])
def test_an_import_ends_with_its_video(
    database_url: str, person: Person, origin: Origin, settings: Settings, state: str
) -> None:
    origin.ways = ["breaks", "whole"]
    made = begin(person, origin)
    work()
    db.session.execute(update(Upload).values(state=state, reserved_bytes=1000))
    db.session.commit()

    videos.delete(person.principal, made.video_id or uuid.uuid4())
    ended, reserved = seen(person, made), db.session.scalar(select(Upload.reserved_bytes))
    work(after=timedelta(hours=1))
    attend()

    assert (ended.state, reserved, len(origin.asked)) == ("failed", 0, 1)
    assert "deleted" in (ended.error or {})["message"]
    assert (count(Video), files(settings)) == (0, [])
