"""Videos no platform would take as they are go out converted, once, although the one who converts is killed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Rendition, Target
from app.services import renditions
from tests.clips import make_clip
from tests.rig import Rig

ENDS = ("published", "failed", "missed", "unknown")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One whose index comes last, so that it is copied into another file; one with codecs to be replaced."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        "remux": make_clip(folder / "late.mp4", seconds=3, size="360x640", extra=()),
        "video": make_clip(folder / "clip.webm", seconds=3, size="360x640", extra=("-c:a", "libopus")),
    }


@pytest.fixture
def converting(rig: Rig) -> Iterator[Rig]:
    """The stack with somebody who converts."""
    if "worker media" not in rig.processes:
        rig.start("worker media")
    yield rig


def schedule(rig: Rig, clip: Path, caption: str) -> uuid.UUID:
    """Schedule a real video on an account that takes neither of the clips as it is."""
    username = f"maker_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform="instagram")
    channel = rig.make_channel(username, platform="instagram")
    video = rig.measured_video(clip)
    target = rig.target(caption=caption, video_id=video, channel_id=channel, due_in=2, hold="media")
    with rig.app.app_context():
        renditions.assign(Target.id == target)
        Target.reckon_holds(Target.id == target)
        db.session.commit()
    return target


def made(rig: Rig, target: uuid.UUID) -> Rendition:
    """Return the one rendition of the target's video, detached."""
    with rig.app.app_context():
        video_id = db.session.scalar(select(Target.video_id).where(Target.id == target))
        row = db.session.scalars(select(Rendition).where(Rendition.video_id == video_id)).one()
        db.session.expunge(row)
        return row


def test_what_is_copied_and_what_is_encoded_both_go_out(converting: Rig, clips: dict[str, Path]) -> None:
    captions = {work: f"{work} {uuid.uuid4().hex}" for work in clips}
    targets = {work: schedule(converting, clip, captions[work]) for work, clip in clips.items()}

    converting.wait_for(list(targets.values()), ENDS, seconds=90)

    for work, target in targets.items():
        found = converting.read(target)
        assert (found.state, found.error) == ("published", None)
        assert converting.sandbox.sim.count(caption=captions[work]) == 1
        assert made(converting, target).facts is not None


@pytest.mark.parametrize("point", ["rendition.while_making", "rendition.before_storing"])
def test_a_worker_killed_over_a_conversion_leaves_one_rendition_and_one_post(
    converting: Rig, clips: dict[str, Path], point: str
) -> None:
    caption = f"killed at {point} {uuid.uuid4().hex}"
    converting.crash(point)
    target = schedule(converting, clips["video"], caption)

    converting.wait_until(lambda: converting.has_crashed(point), what=lambda: f"{point} was never passed")
    converting.wait_for([target], ENDS, seconds=90)

    row = made(converting, target)
    assert (converting.read(target).state, row.state, row.attempts) == ("published", "ready", 0)
    assert row.fence >= 2
    assert converting.sandbox.sim.count(caption=caption) == 1
    assert list((converting.folder / "tmp").glob("rendition-*")) == []
