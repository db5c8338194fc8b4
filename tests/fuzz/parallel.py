"""Many requests with one Idempotency-Key at the same moment: however they meet, one post is made."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import func, select

from app import clock
from app.extensions import db
from app.models import Post
from tests import factories
from tests.factories import Person
from tests.fuzz.world import POSTING
from tests.rig import case_of


def posts_with_one_key(
    app: Flask, headers: Mapping[str, str], body: Mapping[str, Any], *, requests: int
) -> tuple[int, Counter[str]]:
    """Send the same POST /posts so often at once; return how many posts were made, and what was answered.

    Answers are counted as `made`, `replayed`, or their status: 409 says that the first is still under way.
    """
    before, start, key = _posts(app), threading.Barrier(requests), str(uuid.uuid4())
    sent = dict(headers) | {"Idempotency-Key": key}

    def send(_number: int) -> tuple[str, str]:
        client = app.test_client()
        start.wait(60)
        answer = client.post("/api/v1/posts", json=dict(body), headers=sent)
        if answer.status_code != 201:
            return str(answer.status_code), ""
        kind = "replayed" if "Idempotency-Replayed" in answer.headers else "made"
        return kind, str(answer.get_json()["id"])

    with ThreadPoolExecutor(requests) as pool:
        answers = list(pool.map(send, range(requests)))
    ids = {id_ for _, id_ in answers if id_}
    assert len(ids) == 1, f"{len(ids)} different posts were answered"
    return _posts(app) - before, Counter(kind for kind, _ in answers)


def new_post(app: Flask, owner: Person) -> dict[str, Any]:
    """Return the body of a post that is accepted, of a video and a channel of its own."""
    with app.app_context():
        video, channel = factories.make_video(owner.workspace_id), factories.make_channel(owner.workspace_id)
        return {
            "video_id": str(video.id),
            "caption": "Hello",
            "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
            "options": {POSTING: dict(case_of(POSTING).options)},
            "targets": [{"channel_id": str(channel.id)}],
        }


def _posts(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(Post)) or 0
