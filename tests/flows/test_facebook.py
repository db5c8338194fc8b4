"""Reels and videos go out once whatever becomes of the finish call: real processes against the sandbox."""

from __future__ import annotations

import uuid

import pytest

from tests.rig import Rig

DATABASES = ("postgresql",)  # test_exactly_once, test_steps and `make crash` show that both do
ENDS = ("published", "failed", "missed", "unknown")
MARKERS = ("", "[sim:drop-before]", "[sim:drop-after]")


def new_channel(rig: Rig) -> uuid.UUID:
    username = f"page_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform="facebook")
    return rig.make_channel(username, platform="facebook")


@pytest.mark.parametrize("kind", ["auto", "video"])
def test_a_page_has_each_post_once_with_its_address_whatever_was_lost(rig: Rig, kind: str) -> None:
    captions = [f"{marker} {kind} {uuid.uuid4().hex}" for marker in MARKERS]
    options = {"post_type": kind}
    targets = [
        rig.target(caption=text, due_in=3, channel_id=new_channel(rig), options=options) for text in captions
    ]
    rig.wait_for(targets, ENDS, seconds=90)
    for target, caption in zip(targets, captions, strict=True):
        (post,) = rig.sandbox.sim.posts(caption=caption)
        found = rig.read(target)
        assert (found.state, found.remote_id, found.permalink) == ("published", post["id"], post["permalink"])


def test_what_facebook_cannot_process_fails_with_the_reason_and_is_no_post(rig: Rig) -> None:
    caption = f"[sim:fail=1363129] {uuid.uuid4().hex}"
    target = rig.target(caption=caption, due_in=2, channel_id=new_channel(rig))
    rig.wait_for([target], ENDS, seconds=60)
    found = rig.read(target)
    assert found.state == "failed"
    assert found.error is not None
    assert (found.error["kind"], found.error["platform_code"]) == ("media", "1363129")
    assert rig.sandbox.sim.posts(caption=caption) == []
