"""The same content to the same channel within a day, over HTTP."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from flask import Flask

from app import clock
from app.extensions import db
from app.models import ChannelContent
from tests import factories
from tests.factories import Person
from tests.routes.conftest import Body, Send, code, set_state


def test_the_same_content_within_a_day_is_too_soon(send: Send, body: Body) -> None:
    send("POST", "/posts", body)
    at = clock.now() + timedelta(days=1, hours=20)

    answer = send("POST", "/posts", body | {"scheduled_at": clock.isoformat(at), "caption": "Other words"})

    assert code(answer) == (400, "REPOST_TOO_SOON")
    details = answer.json["error"]["details"]
    assert details["platform"] == "tiktok"
    assert 3.9 < details["hours_remaining"] <= 4.0
    assert send("POST", "/posts", body | {"scheduled_at": details["next_allowed_at"]}).status_code == 201


def test_content_the_channel_had_by_another_way_counts(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        channel_id = uuid.UUID(body["targets"][0]["channel_id"])
        video = factories.make_video(owner.workspace_id)
        db.session.add(
            ChannelContent(
                channel_id=channel_id, content_hash=video.sha256, target_id=uuid.uuid4(), last_at=clock.now()
            )
        )
        db.session.commit()

    answer = send(
        "POST", "/posts", body | {"video_id": str(video.id), "scheduled_at": None, "publish_now": True}
    )

    assert code(answer) == (400, "REPOST_TOO_SOON")


@pytest.mark.parametrize("state", ["failed", "cancelled", "missed", "draft"])
def test_what_did_not_go_out_stands_in_nobodys_way(app: Flask, send: Send, body: Body, state: str) -> None:
    made = send("POST", "/posts", body).json
    set_state(app, made["targets"][0]["id"], state=state)

    assert send("POST", "/posts", body).status_code == 201
