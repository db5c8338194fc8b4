"""What a request costs with a thousand targets and with a million, beside a bare Flask and SQLAlchemy view.

PostgreSQL with its durable settings, then SQLite; the whole application in this process (API key, limits in Redis,
schemas, metrics, a log in a file), asked through its WSGI entrance. For each operation: its median of SAMPLES calls,
taken in turn with the bare view's that reads or writes the same rows; lists with filters have none beside them. Then
each operation with the most rows over the same with the fewest: that is flat when it is near 1.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import clock, create_app
from app.config import Settings
from app.extensions import db
from benchmarks.bare_api import bare_app
from benchmarks.filling import Owners, fill
from benchmarks.rows import Row, compared, percentile
from tests import factories
from tests.database import dispose, migrate
from tests.rig import OPTIONS, PLATFORM
from tests.servers import postgres_server, redis_server

SIZES = tuple(int(size) for size in os.environ.get("ROWS", "1000,1000000").split(","))
DATABASES = os.environ.get("DATABASES", "postgresql,sqlite").split(",")
SAMPLES = int(os.environ.get("SAMPLES", "100"))
WARM_UP = 5
FILTERS = {
    "scheduled": "status=scheduled",
    "failed": "status=failed",
    "needing somebody": "needs_action=true",
    "of a small channel": "channel_id={second_channel_id}",
    "of a small channel, scheduled": "channel_id={second_channel_id}&status=scheduled",
    "of a week": "due_from={due_from}&due_to={due_to}",
    "published, latest first": "status=published&sort=-due_at",
}
POST_FILTERS = {
    "with a label": "label=tenth",
    "with a label of the oldest": "label=first",
    "on a channel": "channel_id={channel_id}",
    "on a small channel": "channel_id={second_channel_id}",
    "made in an hour": "created_from={created_from}&created_to={created_to}",
}
Say = Callable[[str], None]
Found = dict[str, tuple[float, float | None]]  # seconds of ours and of the bare view


@dataclass
class Place:
    """Our app and the bare one on one database, and what to ask them about."""

    ours: FlaskClient
    bare: FlaskClient
    headers: Mapping[str, str]
    owners: Owners
    post_id: uuid.UUID
    videos: list[uuid.UUID] = field(default_factory=list)


def run(say: Say) -> list[Row]:
    """Measure on each database and return rows in milliseconds."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with redis_server(folder / "redis") as redis_url:
            for kind in DATABASES:
                found = {}
                for size in SIZES:
                    say(f"{kind}: {size:,} targets")
                    with (
                        _place(folder / f"{kind}-{size}", kind, redis_url, size) as place,
                        (folder / "api.log").open("w") as log,
                        redirect_stdout(log),  # a line a request, as in service, but not on this screen
                    ):
                        found[size] = _measure(place)
                rows += _rows(kind, found)
    return rows


@contextmanager
def _place(folder: Path, kind: str, redis_url: str, size: int) -> Iterator[Place]:
    folder.mkdir()
    with _database(kind, folder) as url:
        migrate(url, data_dir=folder)
        app = create_app(
            Settings(
                data_dir=folder, secret_key="s" * 40, jwt_secret_key="j" * 40, database_url=url,
                encryption_keys=f"k1:{'a2' * 21}s=", redis_url=redis_url, api_rate_limit="1000000 per minute",
            )
        )  # fmt: skip
        try:
            yield _filled(app, size)
        finally:
            dispose(app)


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'api.db'}"
        return
    with postgres_server(durable=True) as postgres, postgres.database() as url:
        yield url


def _filled(app: Flask, size: int) -> Place:
    with app.app_context():
        person = factories.make_person()
        channels = [factories.make_channel(person.workspace_id, platform=PLATFORM) for _ in range(2)]
        spare = factories.make_video(person.workspace_id)
        owners = Owners(person.workspace_id, channels[0].id, channels[1].id, spare.id)
        fill(owners, size)
        videos = [factories.make_video(person.workspace_id) for _ in range(2 * (SAMPLES + WARM_UP))]
        post = factories.make_post(spare, *channels)
        headers = {"Authorization": f"Bearer {factories.make_api_key(person)}"}
        bare = bare_app(db.engine, person.workspace_id).test_client()
        return Place(app.test_client(), bare, headers, owners, post.id, [video.id for video in videos])


def _measure(place: Place) -> Found:
    path = f"/posts/{place.post_id}"
    found = {
        "list of 50 posts": _both(place, lambda: ("GET", "/posts", None)),
        "list of 50 targets": _both(place, lambda: ("GET", "/targets", None)),
        "get": _both(place, lambda: ("GET", path, None)),
    }
    now = clock.now()
    known = {
        "channel_id": place.owners.channel_id,
        "second_channel_id": place.owners.second_channel_id,
        "created_from": (now - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created_to": (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "due_from": (now + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "due_to": (now + timedelta(days=14)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for kind, filters in (("targets", FILTERS), ("posts", POST_FILTERS)):
        for name, query in filters.items():
            address = f"/{kind}?{query.format(**known)}"
            found[f"{kind} {name}"] = (_median(place, ("GET", address, None)), None)
    after = "/events?after=100"
    return found | {
        "50 events": (_median(place, ("GET", after, None)), None),
        "create": _both(place, lambda: ("POST", "/posts", _new_post(place))),
    }


def _new_post(place: Place) -> dict[str, Any]:
    return {
        "video_id": str(place.videos.pop()),
        "caption": "Measured",
        "scheduled_at": clock.isoformat(clock.now() + timedelta(days=3)),
        "options": {PLATFORM: OPTIONS},
        "targets": [{"channel_id": str(place.owners.channel_id)}],
    }


Asked = tuple[str, str, Any]


def _both(place: Place, ask: Callable[[], Asked]) -> tuple[float, float]:
    """Return the medians of ours and of the bare view, asked in turn."""
    ours, bare = [], []
    for _ in range(SAMPLES + WARM_UP):
        ours.append(_seconds(lambda: _ask_ours(place, ask())))
        bare.append(_seconds(lambda: _checked(_send(place.bare, "", ask(), {}))))
    return percentile(ours[WARM_UP:], 0.5), percentile(bare[WARM_UP:], 0.5)


def _median(place: Place, asked: Asked) -> float:
    seconds = [_seconds(lambda: _ask_ours(place, asked)) for _ in range(SAMPLES + WARM_UP)]
    return percentile(seconds[WARM_UP:], 0.5)


def _ask_ours(place: Place, asked: Asked) -> None:
    _checked(_send(place.ours, "/api/v1", asked, place.headers))


def _send(client: FlaskClient, prefix: str, asked: Asked, headers: Mapping[str, str]) -> TestResponse:
    method, path, body = asked
    return client.open(f"{prefix}{path}", method=method, json=body, headers=dict(headers))


def _checked(answer: TestResponse) -> None:
    assert answer.status_code in {200, 201}, answer.get_data(as_text=True)
    found = answer.get_json()
    assert (
        len(answer.get_data()) > 200 or found["pagination"]["has_more"]
    )  # somebody's rows, or some yet to come


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _rows(kind: str, found: Mapping[int, Found]) -> Iterator[Row]:
    for size, measured in found.items():
        for name, (ours, bare) in measured.items():
            words = f"{kind}: {name}, {size:,} targets"
            yield (
                Row(words, ours * 1000, "ms")
                if bare is None
                else compared(words, ours * 1000, "ms", bare * 1000)
            )
    fewest, most = min(found), max(found)
    if fewest != most:
        for name, (ours, _) in found[most].items():
            words = f"{kind}: {name}, {most:,} over {fewest:,}"
            yield compared(words, ours * 1000, "ms", found[fewest][name][0] * 1000)
