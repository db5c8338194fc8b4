"""A comment whose answer was lost, on platforms that list new comments late, by the real services.

Protocol times are divided, here and in the sandbox's lag; one clock is moved for both.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from app import clock
from app.platforms import registry
from app.services import instance, step_ends
from tests.inline import work_on
from tests.platforms.contract import CASES, over
from tests.platforms.sources import Case
from tests.rig import FACTOR, Rig
from tests.sandbox_server import sandbox_thread
from tests.services.afterwards import bring_forward, step_of, work_steps

TALKERS = [
    case
    for case in CASES
    if any(
        kind.name == "first_comment" and not kind.repeatable
        for kind in registry.get_class(case.name).step_kinds
    )
]
LAG = 50.0  # seconds; we wait longer (LISTED_AFTER)
TEXT = "First!"


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str, redis_url: str) -> Iterator[Rig]:
    with sandbox_thread(tmp_path / "sandbox") as server:
        server.sim.settings(rate_limits=False, comment_lag_seconds=LAG / FACTOR)
        with Rig(tmp_path / "data", sqlite_url, redis_url, server) as rig, rig.app.app_context():
            assert instance.check() is None
            yield rig


def publish(rig: Rig, case: Case) -> uuid.UUID:
    """Publish a post that is to be followed by a comment."""
    channel = rig.make_channel("sandbox_creator", platform=case.name)
    options = {**case.options, "first_comment": TEXT}
    target = rig.target(caption="commented", channel_id=channel, options=options)
    for _ in range(12):
        work_on(rig, target)
        if rig.read(target).state == "published":
            return target
    raise AssertionError(f"{case.name}: {rig.read(target).state}")


def comment_in_vain(rig: Rig, case: Case) -> uuid.UUID:
    """Let the comment be written and its answer be lost."""
    target = publish(rig, case)
    rig.sandbox.sim.fault(case.comment or f"{case.name}.comment", "drop_after")
    bring_forward()
    work_steps()
    assert (step_of(target).state, len(rig.sandbox.sim.comments(text=TEXT))) == ("doing", 1)
    return target


def look_again(target: uuid.UUID) -> None:
    """Let time pass until the step is due, here and at the platform."""
    due_at = step_of(target).next_at
    assert due_at is not None and due_at > clock.now()
    with time_machine.travel(due_at + timedelta(seconds=0.1)):
        work_steps()


@over(TALKERS)
def test_a_comment_the_list_does_not_show_yet_is_not_written_twice(rig: Rig, case: Case) -> None:
    target = comment_in_vain(rig, case)

    look_again(target)

    assert step_of(target).state == "done"
    assert len(rig.sandbox.sim.comments(text=TEXT)) == 1


@over(TALKERS)
def test_asking_before_the_list_shows_it_would_write_it_twice(
    rig: Rig, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lag bites: without the wait the test above would fail."""
    monkeypatch.setattr(step_ends, "quiet_for", lambda _item: timedelta(0))
    target = comment_in_vain(rig, case)

    bring_forward()
    work_steps()

    assert step_of(target).state == "done"
    assert len(rig.sandbox.sim.comments(text=TEXT)) == 2
