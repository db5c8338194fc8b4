"""Uploads through a real gunicorn: clients that others wrote resume after a kill, and slow senders starve nobody."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from tusclient.client import TusClient

from tests.clips import make_clip
from tests.servers import ROOT
from tests.skips import skip_or_fail
from tests.web_server import WebServer, web_server

SIZE = 12 * 1024**2
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {"Content-Type": "application/offset+octet-stream"}
CLIENT = ROOT / "tests" / "tus"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 12 MiB: a clip, and a box of noise that players skip."""
    path = make_clip(tmp_path_factory.mktemp("film") / "film.mp4")
    rest = SIZE - path.stat().st_size
    with path.open("ab") as file:
        file.write(rest.to_bytes(4, "big") + b"free" + os.urandom(rest - 8))
    return path


@pytest.fixture
def web(tmp_path: Path, sqlite_url: str, redis_url: str) -> Iterator[WebServer]:
    with web_server(tmp_path, DATABASE_URL=sqlite_url, REDIS_URL=redis_url, WEB_THREADS="4") as server:
        yield server


def get(web: WebServer, path: str) -> Any:
    return requests.get(f"{web.url}{path}", headers=web.headers, timeout=10).json()


def sha256_of(web: WebServer, upload_path: str) -> str:
    """Return the hash of the file an upload became, as it lies in the store."""
    done = get(web, upload_path)
    assert done["state"] == "done", done
    link = get(web, f"/api/v1/videos/{done['video_id']}")["file_url"]
    kept = next((web.folder / "files").rglob("original.*"))
    assert link
    return hashlib.sha256(kept.read_bytes()).hexdigest()


def path_of(url: str) -> str:
    return "/api/v1/uploads/" + url.rpartition("/")[2]


def test_tuspy_goes_on_after_the_server_was_killed(web: WebServer, film: Path) -> None:
    client = TusClient(f"{web.url}/api/v1/uploads", headers=web.headers)
    with film.open("rb") as stream:
        uploader = client.uploader(file_stream=stream, chunk_size=SIZE // 6, metadata={"title": "by tuspy"})
        uploader.upload(stop_at=SIZE // 2)
        web.kill()
        web.start()
        again = client.uploader(file_stream=stream, chunk_size=SIZE // 6, url=uploader.url)
        resumed_at = again.offset
        again.upload()

    assert resumed_at == SIZE // 2
    assert sha256_of(web, path_of(uploader.url)) == hashlib.sha256(film.read_bytes()).hexdigest()


def test_tus_js_client_goes_on_by_itself_after_the_server_was_killed(
    web: WebServer, film: Path, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not (CLIENT / "node_modules" / "tus-js-client").exists():
        skip_or_fail("no node, or no `npm ci` in tests/tus: tus-js-client is not tried")
    endpoint, chunk = f"{web.url}/api/v1/uploads", str(SIZE // 64)
    command = ["node", "upload.cjs", endpoint, str(film), chunk]
    (tmp_path / "key").write_text(web.key)
    with (
        (tmp_path / "key").open() as key,
        subprocess.Popen(
            command, cwd=CLIENT, stdin=key, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as node,
    ):
        assert node.stdout is not None and node.stderr is not None
        sent = 0
        while sent < SIZE // 3:
            line = node.stdout.readline()
            assert line, node.stderr.read()
            sent = int(line.split()[1])
        web.kill()
        web.start()
        said, wrong = node.communicate(timeout=60)

    assert node.returncode == 0, wrong
    url = said.splitlines()[-1].removeprefix("done ")
    assert sha256_of(web, path_of(url)) == hashlib.sha256(film.read_bytes()).hexdigest()


def test_a_server_killed_in_the_middle_of_a_request_has_kept_what_head_says(
    web: WebServer, film: Path
) -> None:
    data = film.read_bytes()
    begun = requests.post(
        f"{web.url}/api/v1/uploads", headers=web.headers | TUS | {"Upload-Length": str(SIZE)}, timeout=10
    )
    path = path_of(begun.headers["Location"])
    with sender(web, "PATCH", path, SIZE, **TUS, **PIECE, **{"Upload-Offset": "0"}) as connection:
        for start in range(0, SIZE // 2, SIZE // 24):
            connection.sendall(data[start : start + SIZE // 24])
            time.sleep(0.22)
        web.kill()
    web.start()
    head = requests.head(f"{web.url}{path}", headers=web.headers | TUS, timeout=10)
    offset = int(head.headers["Upload-Offset"])

    deadline = time.monotonic() + 20
    while patch(web, path, offset, b"").status_code == 423:  # the dead request's lock ends by itself
        assert time.monotonic() < deadline
        time.sleep(0.2)
    answer = patch(web, path, offset, data[offset:])

    assert 0 < offset < SIZE // 2 + 1
    assert answer.status_code == 204, answer.text
    assert sha256_of(web, path) == hashlib.sha256(data).hexdigest()


LONG = 24 * 1024**2  # so long that a bucket has a part of it before the end


@pytest.fixture
def bucket_web(
    tmp_path: Path, sqlite_url: str, redis_url: str, s3_settings: dict[str, str]
) -> Iterator[WebServer]:
    bucket = {"STORAGE_BACKEND": "s3", **{name.upper(): value for name, value in s3_settings.items()}}
    with web_server(tmp_path, DATABASE_URL=sqlite_url, REDIS_URL=redis_url, **bucket) as server:
        yield server


def test_a_server_killed_in_the_middle_of_a_request_to_a_bucket_has_kept_what_head_says(
    bucket_web: WebServer, film: Path
) -> None:
    web, rest = bucket_web, LONG - SIZE
    data = film.read_bytes() + rest.to_bytes(4, "big") + b"free" + os.urandom(rest - 8)
    begun = requests.post(
        f"{web.url}/api/v1/uploads", headers=web.headers | TUS | {"Upload-Length": str(LONG)}, timeout=10
    )
    path = path_of(begun.headers["Location"])
    with sender(web, "PATCH", path, LONG, **TUS, **PIECE, **{"Upload-Offset": "0"}) as connection:
        connection.sendall(data[: 18 * 1024**2])
        deadline = time.monotonic() + 30
        sent = 18 * 1024**2
        while head_offset(web, path) == 0:  # what came is noted every two seconds, if more comes
            assert time.monotonic() < deadline
            connection.sendall(data[sent : sent + 64 * 1024])
            sent += 64 * 1024
            time.sleep(0.1)
        web.kill()
    web.start()
    offset = head_offset(web, path)
    while patch(web, path, offset, b"").status_code == 423:  # the dead request's lock ends by itself
        assert time.monotonic() < deadline + 20
        time.sleep(0.2)

    answer = patch(web, path, offset, data[offset:])

    assert offset == 16 * 1024**2
    assert answer.status_code == 204, answer.text
    done = get(web, path)
    link = get(web, f"/api/v1/videos/{done['video_id']}")["file_url"]
    kept = requests.get(f"{web.url}{urlsplit(link).path}", timeout=30).content
    assert hashlib.sha256(kept).hexdigest() == hashlib.sha256(data).hexdigest()


def head_offset(web: WebServer, path: str) -> int:
    answer = requests.head(f"{web.url}{path}", headers=web.headers | TUS, timeout=10)
    return int(answer.headers["Upload-Offset"])


def patch(web: WebServer, path: str, offset: int, data: bytes) -> requests.Response:
    headers = web.headers | TUS | PIECE | {"Upload-Offset": str(offset)}
    return requests.patch(f"{web.url}{path}", data=data, headers=headers, timeout=30)


def sender(web: WebServer, method: str, path: str, length: int, **headers: str) -> socket.socket:
    """Begin a request with a body of this length and return its connection."""
    host, _, port = web.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), 30)
    named = {"Host": host, "Content-Length": str(length)} | web.headers | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
    return connection


def test_slow_senders_leave_room_for_everybody_else(web: WebServer, film: Path) -> None:
    head = film.read_bytes()[:5000]
    senders = [sender(web, "POST", "/api/v1/videos", SIZE, **{"Content-Type": "video/mp4"}) for _ in range(8)]
    try:
        for connection in senders:
            connection.sendall(head)
        time.sleep(0.5)
        began = time.monotonic()
        answers = [get(web, "/api/v1/videos") for _ in range(5)]
        spent = time.monotonic() - began
        refused = [answer for connection in senders if (answer := _answer(connection))]
    finally:
        for connection in senders:
            connection.close()

    assert all("data" in answer for answer in answers)
    assert spent < 10  # a sender is waited for 20 seconds and more
    assert len(refused) == 6  # of four threads two may receive files
    for text in refused:
        top, _, body = text.partition("\r\n\r\n")
        assert top.startswith("HTTP/1.1 503 ")
        assert "Retry-After: 5" in top
        assert json.loads(body)["error"]["code"] == "SERVICE_UNAVAILABLE"


def _answer(connection: socket.socket) -> str:
    """Return what was answered by now, nothing if the server still reads."""
    connection.settimeout(0.2)
    got = b""
    try:
        while piece := connection.recv(4096):
            got += piece
    except OSError:
        pass
    return got.decode()
