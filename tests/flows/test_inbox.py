"""A draft's whole way: uploaded ahead, handed over at its time, posted by its owner, told by TikTok's webhook."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Channel, Credential, Target
from sandbox.platforms._tiktok_life import sign
from sandbox.state import CLIENT_ID, CLIENT_SECRET
from tests.rig import Rig

DATABASES = ("sqlite",)  # test_exactly_once, test_steps and `make crash` show that both do
BIG = b"d" * 12_000_000
SCOPES = ["user.info.basic", "video.list", "video.publish", "video.upload"]


@pytest.fixture
def channel_id(rig: Rig) -> uuid.UUID:
    """An account of its own, whose owner allowed drafts; its inbox is empty."""
    username = f"drafts_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username)
    made = rig.make_channel(username)
    with rig.app.app_context():
        credential_id = db.session.get_one(Channel, made).credential_id
        db.session.execute(update(Credential).where(Credential.id == credential_id).values(scopes=SCOPES))
        db.session.commit()
    return made


def draft(rig: Rig, channel_id: uuid.UUID, *, caption: str, **columns: Any) -> uuid.UUID:
    options = {"mode": "inbox"}
    return rig.target(caption=caption, due_in=1, channel_id=channel_id, options=options, **columns)


def owner_posts(rig: Rig, channel_id: uuid.UUID, *, caption: str) -> dict[str, Any]:
    with rig.app.app_context():
        username = db.session.get_one(Channel, channel_id).username
    uploads = rig.sandbox.sim.call("GET", "uploads")["uploads"]
    (upload,) = (upload for upload in uploads if upload["account"] == username)
    return dict(rig.sandbox.sim.call("POST", f"uploads/{upload['id']}/finish", json={"caption": caption}))


def tiktok_calls(rig: Rig, channel_id: uuid.UUID, event: str) -> int:
    with rig.app.app_context():
        open_id = db.session.get_one(Channel, channel_id).remote_id
    facts = {"client_key": CLIENT_ID, "event": event, "create_time": int(time.time()), "user_openid": open_id}
    body = json.dumps(facts | {"content": "{}"})
    path = "/api/v1/platforms/tiktok/webhook"
    return rig.app.test_client().post(path, data=body, headers=sign(body, CLIENT_SECRET)).status_code


def test_a_draft_is_published_as_soon_as_tiktok_tells_that_its_owner_posted_it(
    rig: Rig, channel_id: uuid.UUID
) -> None:
    target = draft(rig, channel_id, caption="a draft", content=BIG)
    rig.wait_for([target], {"awaiting_user"})
    assert rig.sandbox.sim.count(caption="a draft") == 0
    asked_next = rig.read(target).next_at
    assert asked_next is not None and asked_next > clock.now() + timedelta(minutes=4)

    made = owner_posts(rig, channel_id, caption="posted by its owner")
    assert tiktok_calls(rig, channel_id, "post.publish.complete") == 200
    rig.wait_for([target], {"published"}, seconds=20)

    rig.wait_until(lambda: rig.read(target).remote_id == made["id"])
    assert rig.sandbox.sim.count(caption="posted by its owner") == 1


def test_a_draft_whose_last_answer_was_lost_waits_in_the_inbox_once(rig: Rig, channel_id: uuid.UUID) -> None:
    rig.sandbox.sim.fault("tiktok.last_chunk", "drop_after")
    target = draft(rig, channel_id, caption="lost answer")

    rig.wait_for([target], {"awaiting_user"})

    owner_posts(rig, channel_id, caption="one only")  # fails if there were two drafts
    shown = rig.read(target).error
    assert shown is not None and "inbox" in shown["message"]


def test_a_hint_during_doubt_does_not_hurry_the_question(rig: Rig, channel_id: uuid.UUID) -> None:
    rig.sandbox.sim.fault("tiktok.last_chunk", "drop_before")
    target = draft(rig, channel_id, caption="in doubt")
    rig.wait_for([target], {"confirming"})
    with rig.app.app_context():
        before = db.session.get_one(Target, target).next_at

    assert tiktok_calls(rig, channel_id, "post.publish.complete") == 200

    with rig.app.app_context():
        found = db.session.get_one(Target, target)
        assert (found.state, found.next_at) == ("confirming", before)
    rig.wait_for([target], {"awaiting_user"})
