from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from app import clock
from app.config import Settings
from app.extensions import db
from app.models import Video
from app.services import leases
from tests.factories import make_person, make_video

LEASE = 0.6

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(stage_lease_seconds=LEASE)


def claimed() -> Video:
    """A video claimed with a lease that ends right now, under fence 3."""
    now = clock.now()
    return make_video(make_person().workspace_id, fence=3, lease_until=now, next_at=now)


def read(video: Video) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video.id, populate_existing=True)


def test_a_lease_is_renewed_for_as_long_as_the_work_lasts() -> None:
    video = claimed()
    began = clock.now()
    db.session.rollback()

    with leases.renewed(Video, video.id, 3):
        time.sleep(LEASE)

    assert read(video).lease_until is not None
    assert video.lease_until == video.next_at
    assert video.lease_until > began + timedelta(seconds=LEASE)


def test_a_lease_that_somebody_else_took_is_not_renewed() -> None:
    video = claimed()
    end = video.lease_until
    db.session.rollback()

    with leases.renewed(Video, video.id, 2):
        time.sleep(LEASE / 2)

    assert read(video).lease_until == end


def test_only_the_owner_of_the_fence_writes() -> None:
    video = claimed()

    assert leases.write(Video, video.id, 3, title="mine")
    assert not leases.write(Video, video.id, 2, title="theirs")
    assert not leases.write(Video, video.id, 3, Video.state == "processing", title="not in this state")
    db.session.commit()
    assert read(video).title == "mine"
