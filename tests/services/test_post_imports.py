"""A post whose video is still to be fetched."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import ValidationError
from app.extensions import db
from app.models import Post, Target, Upload, Video
from app.services import posts
from tests.factories import Person, make_channel, only_target
from tests.rig import case_of
from tests.services.test_uploads_url import (  # noqa: F401 - some are fixtures
    SECRET,
    Origin,
    clip,
    count,
    measure,
    origin,
    person,
    settings,
    work,
)


def post(person: Person, origin: Origin) -> Post:
    channel = make_channel(person.workspace_id)
    given: Any = {
        "video": {"url": f"{origin.url}/film.mp4?key={SECRET}", "title": "Film"},
        "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
        "options": {"tiktok": dict(case_of("tiktok").options)},
        "targets": [{"channel_id": channel.id}],
    }
    return posts.create(given, person.principal)


def test_a_post_waits_until_its_video_is_there(person: Person, origin: Origin) -> None:
    made = post(person, origin)
    assert (made.title, only_target(made).hold) == ("Film", "media")

    work()
    measure()

    target = only_target(made)
    db.session.refresh(target)
    assert (target.hold, target.content_hash) == (None, hashlib.sha256(origin.data).hexdigest())


def test_a_post_whose_video_does_not_come_fails_and_says_why(person: Person, origin: Origin) -> None:
    origin.ways = ["404"]
    made = post(person, origin)

    work()

    target = only_target(made)
    db.session.refresh(target)
    assert target.state == "failed"
    assert "status 404" in (target.error or {})["message"]
    assert SECRET not in str(target.error)
    assert (count(Target), count(Video)) == (1, 1)


def test_a_dry_run_fetches_nothing(person: Person, origin: Origin) -> None:
    channel = make_channel(person.workspace_id)
    given: Any = {"video": {"url": origin.url}, "draft": True, "targets": [{"channel_id": channel.id}]}

    shown = posts.preview(given, person.principal)
    db.session.rollback()

    assert shown.status == "draft"
    assert (count(Upload), count(Video), count(Post)) == (0, 0, 0)


def test_a_post_names_a_video_or_an_address_not_both(person: Person, origin: Origin) -> None:
    channel = make_channel(person.workspace_id)
    given: Any = {
        "video": {"url": origin.url}, "video_id": uuid.uuid4(), "targets": [{"channel_id": channel.id}],
    }  # fmt: skip

    with pytest.raises(ValidationError) as caught:
        posts.create(given, person.principal)
    assert list(caught.value.details) == ["video"]
