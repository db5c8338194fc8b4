"""The gauges that are read from the database and Redis, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from app import clock
from app.extensions import db
from app.models import QuotaWindow, Video
from app.queue import STAGE_TARGET, carrier, enqueue
from tests.conftest import SettingsMaker
from tests.factories import make_channel, make_credential, make_person, make_post, make_target, make_video

pytestmark = pytest.mark.usefixtures("database_url")


def gauges(app: Flask) -> dict[tuple[str, ...], float]:
    """What a scrape says: (name, label values ...) -> value."""
    families = text_string_to_metric_families(app.test_client().get("/metrics").text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def make_held(video: Video, *, state: str, hold: str | None, due_at: datetime) -> None:
    """Make a target in this state, held back for that reason."""
    times = {"due_at": due_at, "late_until": due_at + timedelta(hours=2)}
    make_target(make_post(video), video, make_channel(video.workspace_id), state=state, hold=hold, **times)


def test_an_empty_installation_has_nothing_to_tell(app: Flask) -> None:
    found = gauges(app)

    assert (found[("targets_overdue",)], found[("targets_unknown",)]) == (0, 0)
    assert found[("metrics_collector_up", "database")] == found[("metrics_collector_up", "redis")] == 1
    assert found[("redis_connections",)] >= 1
    assert found[("database_connections",)] >= 0
    assert abs(found[("clock_offset_seconds",)]) < 1
    assert found[("processes_alive", "dispatcher")] == 0


def test_only_what_is_due_and_held_by_nothing_is_overdue(app: Flask) -> None:
    with app.app_context():
        video = make_video(make_person().workspace_id)
        now = clock.now()
        for state, due_at, hold in (
            ("staged", now - timedelta(minutes=1), None),  # the one
            ("staged", now - timedelta(seconds=5), None),
            ("staged", now + timedelta(minutes=1), None),
            ("published", now - timedelta(minutes=1), None),
            ("staged", now - timedelta(minutes=1), "paused"),
        ):
            make_held(video, state=state, hold=hold, due_at=due_at)

    assert gauges(app)[("targets_overdue",)] == 1


def test_holds_and_unknown_outcomes_are_counted_by_reason(app: Flask) -> None:
    with app.app_context():
        video = make_video(make_person().workspace_id)
        for state, hold in (
            ("unknown", None),
            ("scheduled", "media"),
            ("staged", "media"),
            ("staged", "reconnect"),
        ):
            make_held(video, state=state, hold=hold, due_at=clock.now())

    found = gauges(app)

    assert found[("targets_unknown",)] == 1
    assert (found[("targets_held", "media")], found[("targets_held", "reconnect")]) == (2, 1)


def test_channels_expiring_credentials_and_quota_are_told(app: Flask) -> None:
    now = clock.now()
    with app.app_context():
        person = make_person()
        make_channel(person.workspace_id, status="needs_reconnect")
        make_credential(person.workspace_id, refresh_expires_at=now + timedelta(days=1))
        make_credential(person.workspace_id, refresh_expires_at=now + timedelta(days=30))
        for scope, used in (("a", 3), ("b", 9)):
            window = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
            db.session.add(
                QuotaWindow(platform="tiktok", bucket="posts", scope=scope, used=used, maximum=10, **window)
            )
        db.session.commit()

    found = gauges(app)

    assert found[("channels", "tiktok", "needs_reconnect")] == 1
    assert found[("credentials_expiring", "tiktok")] == 1
    assert found[("quota_left", "posts", "tiktok")] == 1


def test_queues_tell_their_depth_and_the_age_of_their_oldest_job(app: Flask) -> None:
    with app.app_context():
        enqueue(STAGE_TARGET, "1", 1)
        enqueue(STAGE_TARGET, "2", 1)

    found = gauges(app)

    assert (found[("queue_depth", "stage")], found[("queue_depth", "commit")]) == (2, 0)
    assert 0 <= found[("queue_oldest_seconds", "stage")] < 60
    assert found[("queue_oldest_seconds", "commit")] == 0


def test_processes_that_beat_are_alive(app: Flask) -> None:
    with app.app_context():
        carrier().beat("dispatcher")
        carrier().beat("worker.stage")

    found = gauges(app)

    assert (found[("processes_alive", "dispatcher")], found[("processes_alive", "worker.stage")]) == (1, 1)
    assert found[("processes_alive", "worker.commit")] == 0


def test_without_redis_the_databases_gauges_are_still_there(make_settings: SettingsMaker) -> None:
    from app import create_app

    app = create_app(make_settings(redis_url="redis://127.0.0.1:1/0"))

    found = gauges(app)

    assert found[("metrics_collector_up", "redis")] == 0
    assert found[("targets_overdue",)] == 0
