"""What exposes each planted fault: the shortest way there, played on real processes, plant or no plant.

A scenario makes posts, lets one thing go wrong, waits, and returns what it sent; the judge does the rest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from app import clock
from app.domain.principal import Principal
from app.exceptions import StateConflictError
from app.extensions import db
from app.models import Target
from app.services import targets
from crash.oracle import Sent
from crash.world import World
from tests.rig import PROTOCOL

DEADLINE = float(PROTOCOL["COMMIT_DEADLINE_SECONDS"])
Scenario = Callable[[World], list[Sent]]


def lost_answer(world: World) -> list[Sent]:
    """The commit takes effect; its answer never comes."""
    world.sim.fault(world.cases[uploader(world)].commit, "drop_after")
    return [send(world, "the answer is lost")]


def never_arrived(world: World) -> list[Sent]:
    """An older post is there; the next one's commit never arrives."""
    older = send(world, "the older post")
    wait_for(world, [older], {"published"})
    world.sim.fault(world.cases[uploader(world)].commit, "hang", seconds=DEADLINE + 1)
    return [older, send(world, "the call is lost")]


def late_effect(world: World) -> list[Sent]:
    """The commit takes effect after everybody has given it up."""
    world.sim.fault(world.cases[uploader(world)].commit, "delay", when="before", seconds=DEADLINE + 0.7)
    return [send(world, "late")]


def frozen_stager(world: World) -> list[Sent]:
    """A stager stands still; another stages and commits, the answer is lost, and the first one wakes up."""
    note_of = freeze(world, "stage.before_call")
    sent = send(world, "staged twice", due_in=3.0)
    note = note_of()
    world.sim.fault(world.cases[uploader(world)].commit, "drop_after")
    wait_for(world, [sent], {"confirming"})
    world.go_on(note)
    return [sent]


def frozen_commenter(world: World) -> list[Sent]:
    """A worker stands still before its comment, its wall clock is set back; another writes it meanwhile."""
    note_of = freeze(world, "step.after_intent")
    sent = send(world, "comment once", platform=commenter(world), comment="a comment")
    note = note_of()
    wait_until(lambda: bool(world.sim.comments(text="a comment")), seconds=40)
    time.sleep(1.0)
    (world.rig.folder / f"clock.{note.suffix[1:]}").write_text("-120")
    world.go_on(note)
    time.sleep(2.0)
    return [sent]


def killed_at_result(world: World) -> list[Sent]:
    sent = send(world, "killed at the result", due_in=4.0)
    wait_for(world, [sent], {"staged"})
    time.sleep(1.0)  # its preflight is settled
    world.rig.crash("commit.after_result")
    return [sent]


def cancelled_after_call(world: World) -> list[Sent]:
    """A worker stands still right after its call; the post's owner cancels meanwhile, and must be told: too late."""
    note_of = freeze(world, "commit.after_call")
    sent = send(world, "cancelled too late")
    note = note_of()
    with world.rig.app.app_context(), contextlib.suppress(StateConflictError):
        targets.cancel(Principal(workspace_id=world.rig.workspace_id, user_id=None, role="owner"), sent.id)
    world.go_on(note)
    return [sent]


def killed_after_comment(world: World) -> list[Sent]:
    world.rig.crash("step.after_call")
    return [send(world, "commented", platform=commenter(world), comment="a comment")]


def redis_lost(world: World) -> list[Sent]:
    """The dispatcher dies between its claim and handing over; then Redis forgets everything."""
    world.rig.crash("dispatch.after_commit")
    sent = [send(world, f"handed over {number}", due_in=1.5) for number in range(5)]
    wait_until(lambda: world.rig.has_crashed("dispatch.after_commit"))
    for _ in range(20):
        world.rig.flush_redis()
        time.sleep(0.1)
    return sent


def expired_twice(world: World) -> list[Sent]:
    """Three posts; before the second and the third the access token has ended."""
    platform, sent = uploader(world), [send(world, "before")]
    wait_for(world, sent, {"published"})
    for caption in ("after one end", "after two"):
        time.sleep(4.0)  # a token that was renewed a moment ago and is refused means a dead grant
        world.expire_tokens(platform)
        sent.append(send(world, caption))
        wait_for(world, sent[-1:], {"published"}, seconds=15)
    world.may_lose_grants = False  # nobody was killed: no grant may be lost
    return sent


def power_cut(world: World) -> list[Sent]:
    """The power goes when the platform has the post and we do not know yet."""
    note_of = freeze(world, "commit.after_call")
    sent = send(world, "power cut")
    note_of()
    world.cut_power()
    return [sent]


def restored(world: World) -> list[Sent]:
    """A backup is taken, the post goes out, the backup is restored and runs for a while before it is adopted."""
    sent = send(world, "restored", starts=False)
    world.take_snapshot()
    start(world, sent)
    wait_for(world, [sent], {"published"})
    world.restore(adopt=False)
    start(world, sent)
    time.sleep(12.0)
    world.adopt()
    return [sent]


def twins(world: World) -> list[Sent]:
    """The same video to the same channel twice at one time: one of them must be refused."""
    both = [send(world, "twins", content_hash="the same", due_in=2.0) for _ in range(2)]
    return [replace(sent, has_twin=True) for sent in both]


SCENARIOS: dict[str, Scenario] = {
    found.__name__: found
    for found in (
        lost_answer, never_arrived, late_effect, frozen_stager, frozen_commenter, killed_at_result,
        cancelled_after_call, killed_after_comment, redis_lost, expired_twice, power_cut, restored, twins,
    )
}  # fmt: skip


# -- the words scenarios are written in


def uploader(world: World) -> str:
    """Return a platform whose grants rotate and whose handle tells what became of it."""
    return next(name for name, case in world.cases.items() if case.rotates and case.commits_bytes)


def commenter(world: World) -> str:
    return next(name for name, case in world.cases.items() if case.comment)


def send(
    world: World,
    caption: str,
    *,
    platform: str = "",
    due_in: float = 0.5,
    comment: str = "",
    starts: bool = True,
    **columns: Any,
) -> Sent:
    """Schedule one post on the platform's first channel."""
    platform = platform or uploader(world)
    if comment:
        columns["options"] = {**world.cases[platform].options, "first_comment": comment}
    if not starts:
        columns["next_at"] = clock.now() + timedelta(hours=1)
    channel = world.channels[platform][0]
    target = world.rig.target(
        caption=caption, due_in=due_in, channel_id=channel, content=b"v" * 3_000, **columns
    )
    return Sent(target, platform, caption, comment)


def start(world: World, sent: Sent) -> None:
    """Let a post that was to wait begin."""
    with world.rig.app.app_context():
        db.session.execute(update(Target).where(Target.id == sent.id).values(next_at=clock.now()))
        db.session.commit()


def freeze(world: World, point: str) -> Callable[[], Path]:
    """Let the next process that comes by a point stop there; return how to wait for the note it leaves."""
    (world.rig.folder / "crash" / point).write_text("stop")

    def note() -> Path:
        wait_until(lambda: bool(world.stopped()), seconds=40)
        return world.stopped()[0]

    return note


def wait_for(world: World, sent: Collection[Sent], states: Collection[str], *, seconds: float = 30) -> None:
    """Wait for states, as long as that takes; a plant may never get there, and then the judge says so."""
    wait_until(
        lambda: set(world.rig.states([one.id for one in sent]).values()) <= set(states), seconds=seconds
    )


def wait_until(is_true: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.05)
