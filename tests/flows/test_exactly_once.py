"""Whatever dies, wherever: the sandbox has counted exactly one post. Real processes, really killed."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime

import pytest

from app.crash_points import POINTS
from tests.rig import Rig

BIG = b"v" * 12_000_000  # two chunks and a rest: the commit is the third
KILLED = [point for point in POINTS if not point.startswith(("refresh.", "step.", "rendition."))]


def test_a_post_goes_out_once_and_not_early(rig: Rig):
    target = rig.target(caption="plain", due_in=3)

    rig.wait_for([target], {"published"})

    (post,) = rig.sandbox.sim.posts(caption="plain")
    assert datetime.fromisoformat(post["commit_received_at"]) >= rig.read(target).due_at


@pytest.mark.parametrize("point", KILLED)
def test_a_process_killed_at_a_named_point_leaves_one_post(rig: Rig, point: str):
    caption = f"killed at {point}"
    rig.crash(point)
    target = rig.target(caption=caption, due_in=1, content=BIG + point.encode())

    rig.wait_until(lambda: rig.has_crashed(point), what=lambda: f"{point} was never passed")
    rig.wait_for([target], {"published"}, seconds=60)

    assert rig.sandbox.sim.count(caption=caption) == 1


@pytest.mark.parametrize("marker", ["[sim:drop-after]", "[sim:drop-before]"])
def test_a_connection_dropped_at_the_last_chunk_leaves_one_post(rig: Rig, marker: str):
    caption = f"{marker} the answer never came"
    target = rig.target(caption=caption, due_in=1)

    rig.wait_for([target], {"published"}, seconds=60)

    assert rig.sandbox.sim.count(caption=caption) == 1


def test_redis_forgetting_everything_loses_and_doubles_nothing(rig: Rig):
    captions = [f"flushed {number}" for number in range(10)]
    targets = [rig.target(caption=caption, due_in=2) for caption in captions]

    for _ in range(20):
        rig.flush_redis()
        time.sleep(0.15)
    rig.wait_for(targets, {"published"}, seconds=60)

    assert [rig.sandbox.sim.count(caption=caption) for caption in captions] == [1] * 10


def test_workers_killed_while_the_platform_takes_its_time_leave_one_post(rig: Rig):
    rig.sandbox.sim.fault("tiktok.last_chunk", "delay", seconds=1.0, when="after")
    target = rig.target(caption="killed in the call", due_in=1)

    rig.wait_for([target], {"publishing"})
    time.sleep(0.3)
    rig.kill("workers")
    rig.start("workers")
    rig.wait_for([target], {"published"}, seconds=60)

    assert rig.sandbox.sim.count(caption="killed in the call") == 1


def test_workers_stopped_beyond_their_lease_leave_one_post(rig: Rig):
    captions = [f"frozen {number}" for number in range(5)]
    targets = [rig.target(caption=caption, due_in=1.5) for caption in captions]
    rig.start("dispatcher")  # one that goes on
    rig.wait_until(lambda: "staged" in rig.states(targets).values())
    time.sleep(1.0)

    os.killpg(rig.processes["workers"].pid, signal.SIGSTOP)
    time.sleep(6)
    os.killpg(rig.processes["workers"].pid, signal.SIGCONT)
    rig.wait_for(targets, {"published"}, seconds=60)
    rig.stop("dispatcher")

    assert [rig.sandbox.sim.count(caption=caption) for caption in captions] == [1] * 5


def test_workers_ended_warmly_finish_what_they_hold(rig: Rig):
    captions = [f"deployed {number}" for number in range(5)]
    targets = [rig.target(caption=caption, due_in=2) for caption in captions]
    rig.wait_until(lambda: "staged" in rig.states(targets).values())

    rig.stop("workers")
    rig.start("workers")
    rig.wait_for(targets, {"published"}, seconds=60)

    assert [rig.sandbox.sim.count(caption=caption) for caption in captions] == [1] * 5


def test_a_snapshot_restored_while_running_publishes_nothing_until_adopted(rig: Rig):
    mark = rig.folder / "instance.json"
    truth = mark.read_text()
    mark.write_text(
        truth.replace('"generation": ', '"generation": 9')
    )  # the copy is ahead: as after a restore
    try:
        target = rig.target(caption="restored", due_in=0)
        time.sleep(4)
        assert rig.sandbox.sim.count(caption="restored") == 0
    finally:
        mark.write_text(truth)

    rig.wait_for([target], {"published"}, seconds=60)
