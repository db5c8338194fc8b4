"""An import whose worker is killed in the middle of the download is finished by another, byte for byte."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app.domain.principal import Principal
from app.extensions import db
from app.models import Upload, Video
from app.services import uploads_url
from tests.clips import make_clip
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread

SIZE = 4 * 1024**2
PIECE = SIZE // 80


class Slow(BaseHTTPRequestHandler):
    """Sends the film a piece at a time: about eight seconds in all."""

    protocol_version = "HTTP/1.1"
    film = b""
    asked: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.send_header("Content-Length", str(SIZE - start))
        self.send_header("ETag", '"film"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        try:
            for at in range(start, SIZE, PIECE):
                self.wfile.write(self.film[at : at + PIECE])
                time.sleep(0.0 if start else 0.1)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    clip = make_clip(tmp_path / "film.mp4").read_bytes()
    rest = SIZE - len(clip)
    Slow.film, Slow.asked = clip + rest.to_bytes(4, "big") + b"free" + os.urandom(rest - 8), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/film.mp4"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_killed_worker_is_followed_by_one_that_goes_on(
    tmp_path: Path, sqlite_url: str, redis_url: str, address: str
) -> None:
    extra = {"OUTGOING_NETWORKS": "127.0.0.0/8"}
    with (
        sandbox_thread(tmp_path / "sandbox") as sandbox,
        Rig(tmp_path / "data", sqlite_url, redis_url, sandbox, extra=extra) as rig,
    ):
        with rig.app.app_context():
            person = Principal(workspace_id=rig.workspace_id, user_id=None, role="owner")
            made = uploads_url.create(person, url=address)
        rig.start("dispatcher", "worker media")
        rig.wait_until(lambda: _upload(rig, made.id).offset_bytes > 0, seconds=60)
        rig.kill("worker media")
        kept = _upload(rig, made.id).offset_bytes
        rig.start("worker media")

        rig.wait_until(lambda: _video(rig, made.video_id).state != "processing", seconds=60)
        video = _video(rig, made.video_id)

    assert 0 < kept < SIZE
    assert Slow.asked == [None, f"bytes={kept}-"]
    assert (video.state, video.sha256) == ("ready", hashlib.sha256(Slow.film).hexdigest())


def _upload(rig: Rig, id_: uuid.UUID) -> Upload:
    with rig.app.app_context():
        found = db.session.get_one(Upload, id_, populate_existing=True)
        db.session.expunge(found)
        return found


def _video(rig: Rig, id_: uuid.UUID | None) -> Video:
    with rig.app.app_context():
        found = db.session.get_one(Video, id_, populate_existing=True)
        db.session.expunge(found)
        return found
