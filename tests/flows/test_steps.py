"""Whatever dies, wherever: the sandbox has counted exactly one first comment. Real processes, really killed.

What takes long is waiting for leases to end, so the platforms' posts wait side by side.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Step
from app.platforms.registry import classes
from tests.rig import Rig, case_of

WORKER = "worker default"  # the stack has none
PLATFORMS = [
    name
    for name, adapter in classes().items()
    if any(kind.name == "first_comment" and not kind.repeatable for kind in adapter.step_kinds)
]
DEATHS = ("step.after_intent", "step.before_call", "step.after_call")
Post = Callable[[str, str], uuid.UUID]


@pytest.fixture
def post(rig: Rig) -> Post:
    """Publish a video, to be followed by a comment with the same text as its caption."""
    if WORKER not in rig.processes:
        rig.start(WORKER)
    channels = {name: new_channel(rig, name) for name in PLATFORMS}

    def publish(platform: str, text: str) -> uuid.UUID:
        options = {**case_of(platform).options, "first_comment": text}
        return rig.target(caption=text, due_in=0.5, channel_id=channels[platform], options=options)

    return publish


def new_channel(rig: Rig, platform: str) -> uuid.UUID:
    username = f"talker_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform=platform)
    return rig.make_channel(username, platform=platform)


def operation(platform: str) -> str:
    return case_of(platform).comment or f"{platform}.comment"


def states(rig: Rig, targets: Collection[uuid.UUID]) -> list[str]:
    with rig.app.app_context():
        query = select(Step.state).where(Step.target_id.in_(targets), Step.kind == "first_comment")
        found = list(db.session.scalars(query))
        db.session.rollback()
        return found


def wait_for_comments(rig: Rig, targets: Mapping[str, uuid.UUID]) -> dict[str, int]:
    """Wait until the step of each is done; return how many comments there are, by their texts."""
    ids = list(targets.values())
    rig.wait_for(ids, {"published"}, seconds=60)
    rig.wait_until(
        lambda: states(rig, ids) == ["done"] * len(ids),
        seconds=60,
        what=lambda: f"the steps are {states(rig, ids)}, not all done",
    )
    return {text: len(rig.sandbox.sim.comments(text=text)) for text in targets}


def test_there_are_platforms_to_comment_on() -> None:
    assert PLATFORMS


def test_workers_killed_at_named_points_leave_one_comment_each(rig: Rig, post: Post) -> None:
    targets = {}
    for turn, point in enumerate(DEATHS * 2):
        platform = PLATFORMS[turn % len(PLATFORMS)]
        text = f"{platform} {turn} killed at {point}"
        rig.crash(point)
        targets[text] = post(platform, text)
        rig.wait_until(lambda at=point: rig.has_crashed(at), what=lambda at=point: f"{at} was never passed")  # type: ignore[misc]

    assert wait_for_comments(rig, targets) == dict.fromkeys(targets, 1)


def test_connections_dropped_in_the_call_leave_one_comment_each(rig: Rig, post: Post) -> None:
    targets = {}
    for platform in PLATFORMS:
        for nth, fault in enumerate(("drop_before", "drop_after"), start=1):
            rig.sandbox.sim.fault(operation(platform), fault, nth=nth)
            targets[f"{platform} {fault}"] = post(platform, f"{platform} {fault}")

    assert wait_for_comments(rig, targets) == dict.fromkeys(targets, 1)


def test_a_comment_that_never_comes_through_changes_nothing_of_its_post(rig: Rig, post: Post) -> None:
    for platform in PLATFORMS:
        rig.sandbox.sim.fault(operation(platform), "status", status=503, times=-1)

    targets = {f"{platform} refused": post(platform, f"{platform} refused") for platform in PLATFORMS}
    ids = list(targets.values())
    rig.wait_for(ids, {"published"}, seconds=60)
    rig.wait_until(lambda: sorted(states(rig, ids)) == ["doing"] * len(ids), seconds=60)

    assert [rig.sandbox.sim.count(caption=text) for text in targets] == [1] * len(targets)
    assert not any(rig.sandbox.sim.comments(text=text) for text in targets)
