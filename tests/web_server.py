"""Our gunicorn as a process that can be killed and started again on the same port, and who may use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from app import config, create_app
from app.embedded import free_port
from app.platforms.registry import setting_specs
from tests import factories
from tests.canaries import canary
from tests.canary_marks import ENCRYPTION_KEY
from tests.database import dispose
from tests.servers import ROOT


class WebServer:
    """One gunicorn with its state in `folder`; `headers` let its owner in."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, port = folder, free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "DATA_DIR": str(folder),
            "BIND": f"127.0.0.1:{port}",
            "SECRET_KEY": canary("secret-key"),
            "JWT_SECRET_KEY": canary("jwt-secret-key"),
            "ENCRYPTION_KEYS": f"k1:{ENCRYPTION_KEY}",
            "MIN_FREE_BYTES": "0",
            "API_RATE_LIMIT": "100000 per minute",
            "LOG_LEVEL": "WARNING",
            **environment,
        }
        self.app = create_app(config.load(self.environment, platforms=setting_specs()))
        with self.app.app_context():
            self.person = factories.make_person()
            self.key = factories.make_api_key(self.person)
        self.headers = {"Authorization": f"Bearer {self.key}"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        with (self.folder / "web.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
                cwd=ROOT, env=os.environ | self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(f"{self.url}/health/live", timeout=5)
                return
            except requests.ConnectionError:
                assert time.monotonic() < deadline, (self.folder / "web.log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """End it and everything it forked, in the middle of whatever it does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None


@contextmanager
def web_server(folder: Path, **environment: str) -> Iterator[WebServer]:
    """Run our gunicorn for as long as the block lasts."""
    server = WebServer(folder, **environment)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()
        dispose(server.app)
