"""Whatever dies, wherever: the sandbox has counted exactly one post. Real processes, really killed."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.rig import Rig

ALL = ("dispatcher", "worker stage", "worker commit")
AT = {"dispatch": "dispatcher", "stage": "worker stage"}
BIG = b"v" * 12_000_000  # two chunks and a rest: the commit is the third


def test_a_post_goes_out_once_and_not_early(rig: Rig):
    target = rig.target(caption="plain", due_in=6)

    rig.start(*ALL)
    rig.wait_for([target], {"published"})

    (post,) = rig.sandbox.sim.posts(caption="plain")
    assert datetime.fromisoformat(post["commit_received_at"]) >= rig.read(target).due_at


@pytest.mark.parametrize(
    "point",
    [
        "dispatch.after_claim",
        "dispatch.after_commit",
        "stage.before_call",
        "stage.after_save",
        "stage.after_call",
        "preflight.after_call",
        "commit.before_intent",
        "commit.after_intent",
        "commit.after_call",
        "commit.after_result",
        "locate.after_call",
    ],
)
def test_a_process_killed_at_a_named_point_leaves_one_post(rig: Rig, point: str):
    victim = AT.get(point.partition(".")[0], "worker commit")
    target = rig.target(caption=f"killed at {point}", due_in=1, content=BIG)
    for name in ALL:
        rig.start(name, crash_points=point if name == victim else "")

    rig.wait_until((rig.folder / "crash" / point).exists, what=lambda: f"{point} never fired")
    if victim != "worker stage":  # there it is the horse that dies, and RQ's parent lives on
        rig.wait_for_death(victim)
        rig.start(victim)
    rig.wait_for([target], {"published"}, seconds=60)

    assert rig.sandbox.sim.count(caption=f"killed at {point}") == 1


def test_a_connection_dropped_after_the_last_chunk_leaves_one_post(rig: Rig):
    target = rig.target(caption="[sim:drop-after] answer lost", due_in=1)

    rig.start(*ALL)
    rig.wait_for([target], {"published"}, seconds=40)

    assert rig.sandbox.sim.count(caption="[sim:drop-after] answer lost") == 1


def test_a_connection_dropped_before_the_last_chunk_leaves_one_post(rig: Rig):
    target = rig.target(caption="[sim:drop-before] never arrived", due_in=1)

    rig.start(*ALL)
    rig.wait_for([target], {"published"}, seconds=40)

    assert rig.sandbox.sim.count(caption="[sim:drop-before] never arrived") == 1


def test_redis_forgetting_everything_loses_and_doubles_nothing(rig: Rig):
    targets = [rig.target(caption=f"flushed {number}", due_in=2) for number in range(10)]
    rig.start(*ALL)

    for _ in range(20):
        rig.flush_redis()
        time.sleep(0.15)
    rig.wait_for(targets, {"published"}, seconds=60)

    assert [rig.sandbox.sim.count(caption=f"flushed {number}") for number in range(10)] == [1] * 10


def test_a_commit_worker_killed_while_the_platform_answers_slowly_leaves_one_post(rig: Rig):
    rig.sandbox.sim.fault("tiktok.last_chunk", "delay", seconds=1.0, when="after")
    target = rig.target(caption="killed in the call", due_in=1)
    rig.start(*ALL)

    rig.wait_until(lambda: rig.states([target])[target] == "publishing")
    time.sleep(0.3)
    rig.kill("worker commit")
    rig.start("worker commit")
    rig.wait_for([target], {"published"}, seconds=40)

    assert rig.sandbox.sim.count(caption="killed in the call") == 1
