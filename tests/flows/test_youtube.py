"""YouTube's videos go out once whatever becomes of the call that publishes them: real processes, real HTTP."""

from __future__ import annotations

import uuid

import pytest

from app.platforms import _youtube_rules as rules
from tests.rig import Rig

DATABASES = ("postgresql",)  # test_exactly_once, test_steps and `make crash` show that both do
ENDS = ("published", "failed", "missed", "unknown")
MARKERS = ("", "[sim:drop-before]", "[sim:drop-after]")


def new_channel(rig: Rig) -> uuid.UUID:
    username = f"tube_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform="youtube")
    return rig.make_channel(username, platform="youtube")


def test_videos_are_there_once_with_their_addresses_whatever_was_lost(rig: Rig) -> None:
    captions = [f"{marker} {uuid.uuid4().hex}" for marker in MARKERS]
    targets = [rig.target(caption=text, due_in=3, channel_id=new_channel(rig)) for text in captions]
    rig.wait_for(targets, ENDS, seconds=90)
    for target, caption in zip(targets, captions, strict=True):
        (post,) = rig.sandbox.sim.posts(caption=caption)
        found = rig.read(target)
        assert (found.state, found.remote_id) == ("published", post["id"])
        assert found.permalink is not None and found.permalink.endswith(post["id"])


@pytest.mark.parametrize("due_in", [1, 6])
def test_a_video_is_private_until_its_time(rig: Rig, due_in: int) -> None:
    caption = f"private {uuid.uuid4().hex}"
    target = rig.target(caption=caption, due_in=due_in, channel_id=new_channel(rig))
    rig.wait_for([target], ENDS, seconds=60)
    (post,) = rig.sandbox.sim.posts(caption=caption)
    sent = [
        item["body"]["status"]["privacyStatus"]
        for item in rig.sandbox.sim.requests(operation="youtube.session")
    ]
    found = rig.read(target)
    assert set(sent) == {rules.PRIVATE}
    assert post["created_at"] >= found.due_at.isoformat()[:19]
