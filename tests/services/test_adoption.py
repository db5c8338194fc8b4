"""A restored database is asked about before it may publish again; real HTTP to the sandbox, both databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Credential, Instance, Target
from app.services import adoption, instance
from tests.inline import work, work_on
from tests.rig import Rig
from tests.sandbox_server import SandboxServer, sandbox_thread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as made:
        made.sim.settings(rate_limits=False)
        yield made


@pytest.fixture
def rig(tmp_path: Path, database_url: str, redis_url: str, server: SandboxServer) -> Iterator[Rig]:
    server.sim.reset(keep=("settings",))
    with Rig(tmp_path / "data", database_url, redis_url, server) as made, made.app.app_context():
        assert instance.check() is None
        yield made


def publish(rig: Rig, target_id: uuid.UUID) -> None:
    """Work on one target until nothing more is to be done, with time passing at the platform."""
    for _ in range(8):
        work_on(rig, target_id)
        if rig.read(target_id).state in ("published", "unknown"):
            return


def snapshot(target_id: uuid.UUID) -> dict[str, object]:
    row = db.session.get_one(Target, target_id)
    columns = {column.key: getattr(row, column.key) for column in Target.__table__.columns}
    db.session.rollback()
    return columns


def restore(columns: dict[str, object]) -> None:
    """Put the row back as it was, and the generation behind its copy."""
    db.session.execute(update(Target).where(Target.id == columns["id"]).values(**columns))
    db.session.execute(update(Instance).values(generation=0))
    db.session.commit()
    instance.record(instance.advance() + 8)
    db.session.rollback()
    assert instance.check() is not None


def test_what_was_published_after_the_snapshot_is_found_and_not_sent_again(rig: Rig) -> None:
    target = rig.target(caption="restored while staged")
    work(rig)
    saved = snapshot(target)
    publish(rig, target)
    restore(saved)

    done = adoption.adopt()
    publish(rig, target)

    assert saved["state"] == "staged"
    assert done is not None and done.found == {"published": 1}
    assert rig.sandbox.sim.count(caption="restored while staged") == 1


def test_a_token_that_ended_since_the_backup_is_renewed_before_anything_is_left_to_a_person(rig: Rig) -> None:
    target = rig.target(caption="restored with an old token")
    work(rig)
    saved = snapshot(target)
    publish(rig, target)
    restore(saved)
    db.session.execute(update(Credential).values(refreshed_at=clock.now() - timedelta(hours=5)))
    db.session.commit()
    rig.sandbox.sim.expire_tokens("sandbox_creator", platform="tiktok")

    done = adoption.adopt()

    assert done is not None and done.found == {"published": 1}


def test_what_was_staged_and_never_sent_goes_out_once(rig: Rig) -> None:
    target = rig.target(caption="restored unsent")
    work(rig)
    restore(snapshot(target))

    assert adoption.adopt() is not None
    publish(rig, target)

    assert rig.read(target).state == "published"
    assert rig.sandbox.sim.count(caption="restored unsent") == 1


def test_what_was_being_staged_is_staged_on_and_goes_out_once(rig: Rig) -> None:
    target = rig.target(caption="restored half way")
    work(rig)
    restore(snapshot(target) | {"state": "staging"})

    done = adoption.adopt()
    again = rig.read(target)
    publish(rig, target)

    assert done is not None and done.found == {"scheduled": 1}
    assert again.state == "scheduled" and again.handle_encrypted is not None
    assert again.next_at is not None and again.next_at <= clock.now()
    assert rig.read(target).state == "published"
    assert rig.sandbox.sim.count(caption="restored half way") == 1


def test_what_was_due_and_left_no_handle_in_the_snapshot_goes_to_a_person(rig: Rig) -> None:
    target = rig.target(caption="restored bare")
    saved = snapshot(target)
    publish(rig, target)
    restore(saved)

    adoption.adopt()
    publish(rig, target)

    assert rig.read(target).state == "unknown"
    assert rig.sandbox.sim.count(caption="restored bare") == 1


def test_what_is_due_later_is_left_as_it_is(rig: Rig) -> None:
    target = rig.target(caption="tomorrow", due_in=86400, next_at=clock.now() + timedelta(hours=20))
    restore(snapshot(target))

    done = adoption.adopt()

    assert done is not None and not done.found
    assert rig.read(target).state == "scheduled"
    assert instance.check() is None


def test_while_a_platform_cannot_be_asked_nothing_is_adopted_unless_told_to_give_up(rig: Rig) -> None:
    target = rig.target(caption="restored unheard")
    work(rig)
    restore(snapshot(target))
    rig.sandbox.sim.fault("tiktok.status", "status", status=500, times=-1)

    waiting = adoption.adopt()
    assert waiting is not None and waiting.mark is None and waiting.unanswered == 1
    assert instance.check() is not None

    assert adoption.adopt(give_up=True) is not None
    assert rig.read(target).state == "unknown"
    assert instance.check() is None


def test_a_database_in_order_is_not_touched(rig: Rig) -> None:
    target = rig.target(caption="in order")

    assert adoption.adopt() is None
    assert rig.read(target).state == "scheduled"
