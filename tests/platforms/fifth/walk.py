"""Adds the made-up platform to this process and walks its whole way; says as JSON what was found.

    python -m tests.platforms.fifth.walk FOLDER DATABASE_URL REDIS_URL

`FOLDER/app` and `FOLDER/sandbox` hold one file each. They are added where the product looks for platforms before
anything has looked, which is why this needs a process of its own.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from flask.testing import FlaskClient
from sqlalchemy import update

import app.platforms
import sandbox.platforms
from app import env_example
from app.extensions import db
from app.models import Video
from app.platforms import registry
from app.services import instance
from tests import factories
from tests.inline import work_on
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread

CONTENT = b"a made-up video"
CAPTION = "up it goes"


def add_platform(folder: Path) -> None:
    app.platforms.__path__.append(str(folder / "app"))
    sandbox.platforms.__path__.append(str(folder / "sandbox"))


def walk(rig: Rig) -> dict[str, Any]:
    client = rig.app.test_client()
    with rig.app.app_context():  # a transaction never outlives it: the client's requests write, too
        person = factories.make_person()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {factories.make_access_token(person)}"
    listed = {shown["name"]: shown for shown in _ask(client, "GET", "/platforms")["data"]}
    (channel,) = _connect(client)["channels"]
    video_id = _video(rig, person.workspace_id)
    body = {"video_id": str(video_id), "caption": CAPTION, "publish_now": True}
    body["targets"] = [{"channel_id": channel["id"]}]
    post = _ask(client, "POST", "/posts", {**body, "options": {"kite": {"wind": "east"}}})
    target_id = uuid.UUID(post["targets"][0]["id"])
    with rig.app.app_context():
        assert instance.check() is None  # as the dispatcher does first
        for _ in range(5):
            work_on(rig, target_id)
    return {
        "listed": listed.get("kite"),
        "documented": '"kite"' in client.get("/openapi.json").get_data(as_text=True),
        "settings": re.findall("KITE_[A-Z_]+", env_example.render(registry.setting_specs())),
        "channel": channel,
        "target": _ask(client, "GET", f"/targets/{target_id}"),
        "measured": 'platform="kite"' in client.get("/metrics").get_data(as_text=True),
        "posts": rig.sandbox.sim.posts(platform="kite"),
    }


def _connect(client: FlaskClient) -> Any:
    """Consent in the browser's steps."""
    begun = _ask(client, "POST", "/connections", {"platform": "kite"})
    page = f"{begun['authorize_url']}&auto=approve"
    back = requests.get(page, allow_redirects=False, timeout=10, proxies={"http": ""})
    client.get(urlsplit(back.headers["Location"])._replace(scheme="", netloc="").geturl())
    return _ask(client, "POST", f"/connections/{begun['id']}/complete")


def _video(rig: Rig, workspace_id: uuid.UUID) -> uuid.UUID:
    """Store a video of the person's; what is in it does not matter to the machinery."""
    stored = rig.video(CONTENT)
    theirs = {"facts": factories.FACTS.to_dict(), "workspace_id": workspace_id}
    with rig.app.app_context():
        db.session.execute(update(Video).where(Video.id == stored).values(theirs))
        db.session.commit()
    return stored


def _ask(client: FlaskClient, method: str, path: str, json: Any = None) -> Any:
    answer = client.open(f"/api/v1{path}", method=method, json=json)
    if answer.status_code >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.get_data(as_text=True)}")
    return answer.json


def main(folder: Path, database_url: str, redis_url: str) -> None:
    add_platform(folder)
    with (
        sandbox_thread(folder / "state") as server,
        Rig(folder / "data", database_url, redis_url, server) as rig,
    ):
        print(json.dumps(walk(rig)))  # noqa: T201 - a command: this is its answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
