"""A platform that fetches gets the stored bytes through our own public link, over real HTTP."""

from __future__ import annotations

import hashlib
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from werkzeug.serving import make_server

from app.extensions import db
from app.models import Channel, Credential, Target
from app.services import publishing
from app.services.credentials import seal_own
from sandbox.platforms._instagram_rules import INSTAGRAM_SCOPES
from tests.database import migrate
from tests.rig import Rig
from tests.sandbox_server import SandboxProcess

CONTENT = b"fetched" * 300_000  # two megabytes


@pytest.fixture
def served(tmp_path: Path, redis_server_url: str, sandbox_process: SandboxProcess) -> Iterator[Rig]:
    """The product's web server at its PUBLIC_URL; no worker runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"sqlite:///{tmp_path / 'scheduler.db'}"
    migrate(url, data_dir=tmp_path)
    sandbox_process.sim.reset(keep=("settings",))
    extra = {"PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with Rig(tmp_path / "data", url, redis_server_url, sandbox_process, extra=extra) as rig:
        server = make_server("127.0.0.1", port, rig.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield rig
        server.shutdown()
        thread.join()
        server.server_close()


def connect(rig: Rig) -> uuid.UUID:
    """Connect an account by the login whose videos are fetched."""
    channel_id = rig.make_channel("sandbox_creator", platform="instagram")
    scopes = sorted(INSTAGRAM_SCOPES)
    grant = rig.sandbox.sim.token(platform="instagram", scopes=scopes)
    with rig.app.app_context():
        channel = db.session.get_one(Channel, channel_id)
        channel.access_token_encrypted = seal_own(channel_id, grant["access_token"])
        where = Credential.id == channel.credential_id
        db.session.execute(update(Credential).where(where).values(scopes=scopes))
        db.session.commit()
    return channel_id


def test_the_bytes_that_are_fetched_are_the_bytes_that_were_stored(served: Rig) -> None:
    target_id = served.target(
        caption=uuid.uuid4().hex, due_in=600, content=CONTENT, channel_id=connect(served)
    )
    with served.app.app_context():
        fence = db.session.get_one(Target, target_id).fence
        (item,) = publishing.load([(target_id, fence)])
        saved: list[dict[str, object]] = []
        item.platform.stage(item.request, None, lambda handle: saved.append(dict(handle)))
    uploads = served.sandbox.sim.call("GET", "uploads")["uploads"]
    (fetched,) = (upload for upload in uploads if upload["id"] == saved[-1]["id"])
    assert fetched["details"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert served.sandbox.sim.requests(operation="instagram.upload") == []
