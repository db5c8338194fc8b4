"""A huge upload by tus: memory of the web process, and throughput beside a bare view that writes to a file.

Our gunicorn with one process and SQLite; the file is BYTES long, made while it is sent, in one request, ROUNDS times
in turn with its baseline under the same gunicorn: a file that is synced once at its end, or parts sent by boto3. To a
folder and to an S3 server that discards. It is a real clip and a long box of zeros that players skip, so the server can
give back what it never kept. Memory is the growth of the web process's PSS during an upload, after a small one before;
and the most PSS of a media worker, its horse and their children while they fetch and measure the last file.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import requests

from app.embedded import free_port
from benchmarks.rows import Row
from tests.clips import make_clip
from tests.database import migrate
from tests.servers import ROOT, redis_server, running
from tests.web_server import WebServer, web_server

BYTES = int(os.environ.get("BYTES", "1000000000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
STORES = os.environ.get("STORES", "folder,s3").split(",")
WARM_UP = 50_000_000
BLOCK = 1024 * 1024
KEEP_FREE = 2 * 1024**3
PATIENCE = 900.0  # seconds for measuring
S3 = {
    "STORAGE_BACKEND": "s3", "S3_BUCKET": "videos", "S3_ACCESS_KEY_ID": "key", "S3_SECRET_ACCESS_KEY": "secret",
}  # fmt: skip
Say = Callable[[str], None]


def film(size: int) -> Iterator[bytes]:
    """Yield an MP4 file of so many bytes: a clip, then a box of zeros."""
    head = _clip() + b"\0\0\0\x01free" + (size - len(_clip())).to_bytes(8, "big")
    yield head
    left, zeros = size - len(head), bytes(BLOCK)
    while left:
        yield zeros[: min(BLOCK, left)]
        left -= min(BLOCK, left)


@functools.cache
def _clip() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_clip(Path(folder) / "clip.mp4").read_bytes()


def run(say: Say) -> list[Row]:
    """Measure each store and return its rows."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if shutil.disk_usage(folder).free < BYTES + KEEP_FREE:
            raise SystemExit(f"{BYTES:,} bytes and {KEEP_FREE:,} more must be free in {folder}: set BYTES.")
        (folder / "redis").mkdir()
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        for store in STORES:
            say(f"{store}: {BYTES:,} bytes, {ROUNDS} times")
            with (
                _bucket(folder, store) as bucket,
                _copying(folder, bucket) as copying,
                _ours(folder / store, bucket, redis_url) as web,
            ):
                rows += _measure(web, copying, store)
    return rows


@contextlib.contextmanager
def _bucket(folder: Path, store: str) -> Iterator[str]:
    """Yield the address of an S3 server that discards, or nothing for a folder."""
    if store != "s3":
        yield ""
        return
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.discarding_s3", str(port)]
    with running(command, log=folder / "s3.log", cwd=ROOT):
        _wait(port)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _copying(folder: Path, bucket: str) -> Iterator[str]:
    port = free_port()
    settings = {
        "DATA_DIR": str(folder / "copying"), "BIND": f"127.0.0.1:{port}", "COPY_TO": bucket or str(folder / "copy"),
    }  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "benchmarks.copying:app"]
    with running(command, log=folder / "copying.log", cwd=ROOT, env=os.environ | settings):
        _wait(port)
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def _ours(folder: Path, bucket: str, redis_url: str) -> Iterator[WebServer]:
    folder.mkdir()
    database_url = f"sqlite:///{folder / 'scheduler.db'}"
    migrate(database_url, data_dir=folder)
    s3 = S3 | {"S3_ENDPOINT_URL": bucket} if bucket else {}
    ours = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "MAX_UPLOAD_BYTES": str(BYTES + WARM_UP)}
    with web_server(folder, **ours, **s3) as web:
        yield web


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _measure(web: WebServer, copying: str, store: str) -> list[Row]:
    _delete(web, _upload(web, WARM_UP)[1])
    _send("PUT", copying, WARM_UP, {})
    assert web.process is not None
    ours, bare, growth, video_id = [], [], 0, ""
    for _ in range(ROUNDS):
        _delete(web, video_id)
        bare.append(_send("PUT", copying, BYTES, {}))
        with Memory(web.process.pid) as memory:
            seconds, video_id = _upload(web, BYTES)
        ours.append(seconds)
        growth = max(growth, memory.peak - memory.before)
    speed, baseline = (BYTES / statistics.median(each) / 1e6 for each in (ours, bare))
    size = f"{BYTES // 1_000_000:,} MB"
    return [
        Row(f"{store}: upload of {size}", speed, "MB/s", baseline, speed / baseline),
        Row(f"{store}: growth of the web process", growth / 1e6, "MB PSS"),
        Row(f"{store}: media worker measuring {size}", _work(web, video_id) / 1e6, "MB PSS"),
    ]


def _upload(web: WebServer, size: int) -> tuple[float, str]:
    """Upload by tus in one request; return how many seconds that took, and the id of the video that came of it."""
    tus = web.headers | {"Tus-Resumable": "1.0.0"}
    begun = requests.post(f"{web.url}/api/v1/uploads", headers=tus | {"Upload-Length": str(size)}, timeout=60)
    address = web.url + begun.headers["Location"]
    said = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    seconds = _send("PATCH", address, size, said)
    done = requests.get(address, headers=web.headers, timeout=60).json()
    assert done["state"] == "done", done
    return seconds, str(done["video_id"])


def _delete(web: WebServer, video_id: str) -> None:
    requests.delete(f"{web.url}/api/v1/videos/{video_id}", headers=web.headers, timeout=60)
    for path in (web.folder / "files").rglob("original.*"):
        path.unlink()  # no worker runs here that would


def _work(web: WebServer, video_id: str) -> int:
    """Let a media worker fetch, measure and picture the video; return the most memory it took, in bytes of PSS."""
    deadline, state = time.monotonic() + PATIENCE, "processing"
    with _flask(web, "dispatcher"), _flask(web, "worker", "media") as worker, Memory(worker.pid) as memory:
        while state == "processing":
            assert time.monotonic() < deadline, (web.folder / "worker.log").read_text()
            time.sleep(0.5)
            answer = requests.get(f"{web.url}/api/v1/videos/{video_id}", headers=web.headers, timeout=60)
            state = answer.json()["state"]
    assert state == "ready", answer.text + (web.folder / "worker.log").read_text()
    return memory.peak


def _flask(web: WebServer, *command: str) -> contextlib.AbstractContextManager[Any]:
    program = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
    log = web.folder / f"{command[0]}.log"
    return running(program, log=log, cwd=ROOT, env=os.environ | web.environment)


def _send(method: str, address: str, size: int, headers: dict[str, str]) -> float:
    """Send the file in one request; return how many seconds that took."""
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=600)
    began = time.monotonic()
    connection.request(method, f"/{path}", film(size), headers | {"Content-Length": str(size)})
    answer = connection.getresponse()
    seconds = time.monotonic() - began
    assert answer.status == 204, answer.read()
    connection.close()
    return seconds


class Memory:
    """Watches a process and all it starts while a block lasts: bytes of PSS `before` it and at its `peak`."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self.before = self.peak = self._pss()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self.peak = max(self.peak, self._pss())

    def _pss(self) -> int:
        total = 0
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
        return total
