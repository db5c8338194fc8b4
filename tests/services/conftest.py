"""A claimed target, as the machinery meets it half way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Target
from app.services import instance, publishing
from app.services.publishing import Loaded
from tests.factories import make_channel, make_person, make_post, make_video

HOUR = timedelta(hours=1)
Claimed = Callable[..., Loaded]


@pytest.fixture
def claimed(context: Flask) -> Claimed:
    """Make a target in a state, claimed by fence 1, and load it as the engine does."""
    assert instance.check() is None

    def make(state: str, **columns: Any) -> Loaded:
        workspace_id = make_person().workspace_id
        channel = make_channel(workspace_id)
        post = make_post(make_video(workspace_id), channel, state="scheduled")
        target = db.session.scalars(select(Target).where(Target.post_id == post.id)).one()
        defaults = {"fence": 1, "lease_until": clock.now() + HOUR, "next_at": clock.now() + HOUR}
        for name, value in (defaults | {"state": state} | columns).items():
            setattr(target, name, value)
        target.handle_encrypted = publishing.seal_handle(target.id, {"publish_id": "p"})
        post.status = "publishing" if state in ("publishing", "confirming") else "scheduled"
        db.session.commit()
        (item,) = publishing.load([(target.id, 1)])
        db.session.expunge_all()
        return item

    return make
