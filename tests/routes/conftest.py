from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uuid6
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import clock
from app.extensions import db
from app.models import Target
from tests import factories
from tests.clips import make_clip
from tests.factories import Person
from tests.routes import described

Body = dict[str, Any]
Send = Callable[..., Any]
PRIVATE = {"tiktok": {"privacy_level": "SELF_ONLY"}}


@pytest.fixture(autouse=True)
def ids_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids never go back in time: forget those that tests with another clock made before in this process."""
    monkeypatch.setattr(uuid6, "_last_v7_timestamp", None)


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A two-second video, H.264 and AAC in MP4, index first."""
    path: Path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
    return path.read_bytes()


@pytest.fixture
def app(app: Flask) -> Iterator[Flask]:
    """The app; at the end no answer it gave may be one that the document does not describe."""
    surprises = described.watch(app)
    yield app
    assert surprises == set()


@pytest.fixture
def send(client: FlaskClient, auth_headers: dict[str, str]) -> Send:
    """Ask the API as the owner; returns the response."""

    def ask(method: str, path: str, json: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(f"/api/v1{path}", method=method, json=json, headers=auth_headers | named)

    return ask


@pytest.fixture
def body(app: Flask, owner: Person) -> Body:
    """A post that is accepted: one ready video, one channel, tomorrow."""
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id)
        video = factories.make_video(owner.workspace_id, title="A title", description="A description")
        return {
            "video_id": str(video.id),
            "caption": "Hello",
            "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
            "options": PRIVATE,
            "targets": [{"channel_id": str(channel.id)}],
        }


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def set_state(app: Flask, target_id: str, **columns: Any) -> None:
    with app.app_context():
        db.session.execute(update(Target).where(Target.id == uuid.UUID(target_id)).values(**columns))
        db.session.commit()


def row(app: Flask, target_id: str) -> Target:
    with app.app_context():
        found = db.session.get_one(Target, uuid.UUID(target_id))
        db.session.expunge(found)
        return found


def count(app: Flask, model: type) -> int:
    with app.app_context():
        return len(db.session.scalars(select(model)).all())
