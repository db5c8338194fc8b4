"""One awkward video to all four platforms, from the folder and from a bucket alike: each gets what it takes, once.

The sandbox judges the bytes that arrive (`measure_media`), as strictly as the real ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Rendition, Target, Video
from app.services import renditions
from tests.clips import make_clip
from tests.database import migrate
from tests.rig import Rig
from tests.sandbox_server import SandboxProcess

PLATFORMS = ("facebook", "instagram", "tiktok", "youtube")
AS_IT_IS = {"tiktok", "youtube"}  # these take VP9 and Opus in WebM
ENDS = ("published", "failed", "missed", "unknown")
WORKERS = "dispatcher=1,media=1,stage=1,commit=1,default=1"


@pytest.fixture(params=["folder", "s3"])
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, sandbox_process: SandboxProcess
) -> Iterator[Rig]:
    extra = {"WORKERS": WORKERS}
    if request.param == "s3":
        bucket: dict[str, str] = request.getfixturevalue("s3_settings")
        extra |= {"STORAGE_BACKEND": "s3", **{name.upper(): value for name, value in bucket.items()}}
    url = f"sqlite:///{tmp_path / 'scheduler.db'}"
    migrate(url, data_dir=tmp_path)
    sandbox_process.sim.reset(keep=("settings",))
    sandbox_process.sim.settings(measure_media=True)
    with Rig(tmp_path / "data", url, redis_url, sandbox_process, extra=extra) as made:
        made.start("workers")
        yield made
    sandbox_process.sim.settings(measure_media=False)


def schedule(rig: Rig, clip: Path, caption: str) -> dict[str, uuid.UUID]:
    """Store the clip and schedule it on a channel of each platform; return the targets by platform."""
    video = rig.measured_video(clip)
    targets = {}
    for platform in PLATFORMS:
        username = f"maker_{uuid.uuid4().hex[:8]}"
        rig.sandbox.sim.account(username, platform=platform)
        channel = rig.make_channel(username, platform=platform)
        targets[platform] = rig.target(
            caption=caption, video_id=video, channel_id=channel, due_in=3, hold="media"
        )
    with rig.app.app_context():
        renditions.assign(Target.video_id == video)
        Target.reckon_holds(Target.video_id == video)
        db.session.commit()
    return targets


def test_one_video_goes_to_all_four_and_is_converted_for_two_of_them_once(rig: Rig, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.webm", seconds=4, size="720x1280", extra=("-c:a", "libopus"))
    caption = f"any video {uuid.uuid4().hex}"

    targets = schedule(rig, clip, caption)
    rig.wait_for(list(targets.values()), ENDS, seconds=120)

    found = {platform: rig.read(target) for platform, target in targets.items()}
    assert {p: (row.state, row.error) for p, row in found.items()} == dict.fromkeys(
        PLATFORMS, ("published", None)
    )
    posts = rig.sandbox.sim.posts(caption=caption)
    assert sorted(post["platform"] for post in posts) == list(PLATFORMS)
    with rig.app.app_context():
        video, made = (
            db.session.scalars(select(Video)).one(),
            db.session.scalars(select(Rendition)).one(),
        )
        sent = {post["platform"]: post["sha256"] for post in posts}
        assert sent == {p: video.sha256 if p in AS_IT_IS else made.sha256 for p in PLATFORMS}
    assert list((rig.folder / "tmp").glob("rendition-*")) == []
