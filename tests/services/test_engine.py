"""The commit engine in this process, against a real sandbox: at its time, once, and only under its lease."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from app import clock
from app.extensions import db
from app.models import Attempt, Target
from app.services import calls, intents, ledger, settling, staging, taking
from app.services.engine import Engine
from app.services.publishing import Loaded
from app.services.slots import Slot
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
        yield made


def claim(target_id: uuid.UUID) -> tuple[uuid.UUID, int]:
    """Claim one target as the dispatcher does, whatever its time."""
    lease = clock.now() + timedelta(seconds=30)
    fence = db.session.scalar(
        update(Target)
        .where(Target.id == target_id)
        .values(fence=Target.fence + 1, lease_until=lease, next_at=lease)
        .returning(Target.fence)
    )
    db.session.commit()
    assert fence is not None
    return target_id, fence


def armed(rig: Rig, *captions: str, due_in: float = 0.0) -> list[Loaded]:
    """Stage targets and load them as ready to be committed."""
    claims = []
    for caption in captions:
        target_id = rig.target(caption=caption, due_in=due_in)
        staging.stage(*claim(target_id))
        db.session.execute(update(Target).where(Target.id == target_id).values(preflighted_at=clock.now()))
        db.session.commit()
        claims.append(claim(target_id))
    items = list(taking.take(claims))
    assert {item.kind for item in items} == {"commit"}
    return items


def run(rig: Rig, items: list[Loaded], *, threads: int = 4) -> None:
    """Let an engine of its own do the work and end."""
    engine = Engine(rig.app, threads=threads)
    engine.submit(items)
    engine.drain()


def states(rig: Rig) -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(Target.state)))


def test_a_commit_waits_for_its_time_and_writes_its_ledger(rig: Rig):
    (item,) = armed(rig, "on time", due_in=0.7)

    run(rig, [item])

    (post,) = rig.sandbox.sim.posts(caption="on time")
    late = (datetime.fromisoformat(post["commit_received_at"]) - item.due_at).total_seconds()
    assert late >= 0
    attempt = db.session.scalars(select(Attempt).where(Attempt.operation == "commit")).one()
    assert attempt.called_at is not None
    assert attempt.called_at >= item.due_at
    assert (
        item.due_at - timedelta(seconds=0.5) < attempt.created_at < item.due_at
    )  # the intent is written ahead,
    assert (
        db.session.scalars(select(Target.committed_at)).one() == item.due_at
    )  # and counts from the due time
    assert attempt.outcome == "Accepted"
    assert states(rig) == ["confirming"]


def test_posts_due_moments_apart_each_wait_for_their_own_time(rig: Rig):
    first = armed(rig, "first", due_in=1.5)[0]
    second = replace(armed(rig, "second", due_in=1.5)[0], due_at=first.due_at + timedelta(seconds=0.06))

    run(rig, [second, first])

    for item, caption in ((first, "first"), (second, "second")):
        (post,) = rig.sandbox.sim.posts(caption=caption)
        late = (datetime.fromisoformat(post["commit_received_at"]) - item.due_at).total_seconds()
        assert late >= 0, caption


def test_a_clock_set_back_before_the_call_keeps_a_thread_no_longer_than_the_lease(rig: Rig):
    (item,) = armed(rig, "set back")
    far = replace(item, due_at=clock.now() + timedelta(hours=1), lease_monotonic=clock.monotonic() + 0.3)

    calls.wait_until_due(far)  # returns

    assert not far.holds_lease()


def test_more_commits_than_threads_all_go_out_once(rig: Rig):
    captions = [f"many {number}" for number in range(10)]

    run(rig, armed(rig, *captions), threads=3)

    assert [rig.sandbox.sim.count(caption=caption) for caption in captions] == [1] * 10


def test_the_same_claim_handed_in_twice_posts_once(rig: Rig):
    (item,) = armed(rig, "twice")

    run(rig, [item, item])

    assert rig.sandbox.sim.count(caption="twice") == 1


@pytest.mark.parametrize(
    "lost",
    [{"lease_monotonic": 0.0}, {"lease_until": datetime(2026, 1, 1, tzinfo=clock.now().tzinfo)}],
    ids=["by the clock that never steps", "by the wall clock"],
)
def test_nothing_is_sent_once_the_lease_has_ended(
    rig: Rig, lost: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    (item,) = armed(rig, "too late")
    write = intents.write_intents
    monkeypatch.setattr(
        intents, "write_intents", lambda items: [replace(ready, **lost) for ready in write(items)]
    )

    run(rig, [item])

    assert rig.sandbox.sim.count() == 0
    assert states(rig) == ["publishing"]  # its next_at leads to asking


def test_a_target_cancelled_while_it_waits_is_not_posted(rig: Rig):
    (item,) = armed(rig, "changed my mind", due_in=0.6)
    engine = Engine(rig.app, threads=2)
    engine.submit([item])

    assert Target.move(item.ref, before={"staged"}, after="cancelled", fenced=False, next_at=None)
    db.session.commit()
    engine.drain()

    assert rig.sandbox.sim.count() == 0
    assert states(rig) == ["cancelled"]


def test_a_file_that_cannot_be_read_is_tried_again_and_not_posted(rig: Rig):
    (item,) = armed(rig, "no file")
    for path in (rig.folder / "files").rglob("original.mp4"):
        path.unlink()

    run(rig, [item])

    assert states(rig) == ["staged"]
    assert db.session.scalars(select(Target.retries)).one() == 1
    assert rig.sandbox.sim.count() == 0


def test_a_preflight_that_finds_the_account_blocked_pauses_the_channel(rig: Rig):
    (item,) = armed(rig, "blocked")
    rig.sandbox.sim.account("sandbox_creator", cannot_post="spam_risk_user_banned_from_posting")

    run(rig, [replace(item, kind="preflight")])

    assert states(rig) == ["staged"]
    assert db.session.scalars(select(Target.hold)).one() == "paused"
    assert rig.sandbox.sim.count() == 0


def broken_at_first(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call as it is with a database that goes away during its first use."""
    calls: list[object] = []

    def break_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise OperationalError("UPDATE", {}, Exception("the connection was closed"))
        return call(*args)

    return break_once


@pytest.mark.parametrize("name", ["intents.write_intents", "settling.settle"])
def test_a_database_that_goes_away_for_a_moment_costs_nothing(
    rig: Rig, name: str, monkeypatch: pytest.MonkeyPatch
):
    (item,) = armed(rig, "patient")
    owner, function = name.split(".")
    module = {"intents": intents, "settling": settling}[owner]
    monkeypatch.setattr(module, function, broken_at_first(getattr(module, function)))

    run(rig, [item])

    assert rig.sandbox.sim.count(caption="patient") == 1
    assert states(rig) == ["confirming"]


def test_a_question_survives_a_database_that_goes_away(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    (item,) = armed(rig, "asked", due_in=60)
    monkeypatch.setattr(ledger, "open_many", broken_at_first(ledger.open_many))

    run(rig, [replace(item, kind="preflight")])

    operations = list(db.session.scalars(select(Attempt.operation).where(Attempt.outcome == "Clear")))
    assert operations == ["preflight"]


def test_questions_that_hang_do_not_delay_a_commit(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    item, *slow = armed(rig, "one", "two", "three", "four", "five")
    answered = threading.Event()
    monkeypatch.setitem(calls.QUESTIONS, "preflight", lambda _item: answered.wait(20) and None)
    engine = Engine(rig.app, threads=4)
    engine.submit([replace(other, kind="preflight") for other in slow])
    engine.submit([item])

    try:
        rig.wait_until(lambda: rig.sandbox.sim.count() == 1, seconds=10)
    finally:
        answered.set()
        engine.drain()


def test_questions_wait_while_commits_are_late_unless_their_lease_presses(rig: Rig) -> None:
    made = Engine(rig.app, threads=4)
    made.drain()
    (item,) = armed(rig, "late")
    question = replace(item, kind="locate", lease_monotonic=clock.monotonic() + 60)
    made._questions = [question]

    assert made._free_for_questions == 2
    made._waiting = [Slot(clock.now().timestamp() - 1, 0, item)]
    assert made._free_for_questions == 0
    made._questions = [replace(question, lease_monotonic=clock.monotonic() + 5)]
    assert made._free_for_questions == 2
