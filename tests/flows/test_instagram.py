"""Reels go out once whatever becomes of the call that publishes them: real processes against the sandbox."""

from __future__ import annotations

import uuid
from typing import Any

from tests.rig import Rig

DATABASES = ("sqlite",)  # test_exactly_once, test_steps and `make crash` show that both do
ENDS = ("published", "failed", "missed", "unknown")


MARKERS = ("", "[sim:drop-before]", "[sim:drop-after]")


def new_channel(rig: Rig) -> uuid.UUID:
    username = f"reels_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform="instagram")
    return rig.make_channel(username, platform="instagram")


def refusal(code: int, subcode: int) -> dict[str, Any]:
    return {"error": {"message": "", "type": "OAuthException", "code": code, "error_subcode": subcode}}


def publish_calls(rig: Rig) -> int:
    return len(rig.sandbox.sim.requests(operation="instagram.publish"))


def test_reels_are_there_once_with_their_addresses_whatever_was_lost(rig: Rig) -> None:
    captions = [f"{marker} {uuid.uuid4().hex}" for marker in MARKERS]
    targets = [rig.target(caption=text, due_in=3, channel_id=new_channel(rig)) for text in captions]
    rig.wait_for(targets, ENDS, seconds=90)
    rig.wait_until(lambda: all(rig.read(target).permalink for target in targets), seconds=30)
    for target, caption in zip(targets, captions, strict=True):
        (post,) = rig.sandbox.sim.posts(caption=caption)
        found = rig.read(target)
        assert (found.state, found.remote_id, found.permalink) == ("published", post["id"], post["permalink"])


def test_a_blocked_account_is_not_tried_again_and_again(rig: Rig) -> None:
    caption = f"blocked {uuid.uuid4().hex}"
    body = refusal(4, 2207051)
    rig.sandbox.sim.fault("instagram.publish", "status", status=400, body=body, times=-1)
    target = rig.target(caption=caption, due_in=3, channel_id=new_channel(rig))
    rig.wait_for([target], ENDS, seconds=90)
    rig.sandbox.sim.clear_faults()
    found = rig.read(target)
    assert found.state == "failed"
    assert found.error is not None and found.error["kind"] == "account"
    assert rig.sandbox.sim.posts(caption=caption) == []


def test_a_reel_that_is_not_there_after_two_calls_is_left_to_a_person(rig: Rig) -> None:
    caption, before = f"twice {uuid.uuid4().hex}", publish_calls(rig)
    rig.sandbox.sim.fault("instagram.publish", "drop_before", times=-1)
    target = rig.target(caption=caption, due_in=3, channel_id=new_channel(rig))
    rig.wait_for([target], ENDS, seconds=90)
    rig.sandbox.sim.clear_faults()
    found = rig.read(target)
    assert found.state == "unknown"
    assert found.error is not None and "told to again" in found.error["message"]
    assert publish_calls(rig) - before == 2
    assert rig.sandbox.sim.posts(caption=caption) == []
