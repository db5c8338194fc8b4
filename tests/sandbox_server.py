"""The sandbox over real HTTP, for tests: in a thread, or as a gunicorn process that can be killed.

with sandbox_thread(folder) as server: ...           # quick; werkzeug's server
with SandboxProcess(folder) as server: ...           # gunicorn gthread, as `make run` starts it
server.base_url; server.sim.reset(); server.sim.posts(caption="..."); server.sim.fault("tiktok.init", ...)
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from sandbox import create_sandbox
from sandbox.state import Sandbox

ROOT = Path(__file__).parent.parent


class Sim:
    """The control API as Python; see sandbox/control.py. A refusal raises requests.HTTPError."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/__sim"
        self._http = requests.Session()
        self._http.trust_env = False  # loopback needs no proxy

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, f"{self._url}/{path}", timeout=10, **options)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code}: {answer.text}", response=answer)
        return answer.json()

    def reset(self, *, keep: tuple[str, ...] = ()) -> None:
        """Back to the first state; `keep`: any of accounts, tokens, settings, clock."""
        self.call("POST", "reset", json={"keep": list(keep)})

    def posts(self, **filters: str) -> list[dict[str, Any]]:
        """Posts made, newest first; filters: platform, account, caption, sha256, publish_id."""
        return list(self.call("GET", "posts", params=filters)["posts"])

    def count(self, **filters: str) -> int:
        return int(self.call("GET", "posts", params=filters | {"limit": "0"})["count"])

    def fault(self, operation: str, action: str, **details: Any) -> dict[str, Any]:
        """Arm a fault; details: nth, times (-1: always), probability, seed, when, status, body, headers..."""
        body = {"operation": operation, "action": action, **details}
        return dict(self.call("POST", "faults", json=body))

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")

    def requests(self, **filters: str) -> list[dict[str, Any]]:
        """Recorded requests, oldest first; filters equal fields: operation, account, status, path, ..."""
        return list(self.call("GET", "requests", params=filters)["requests"])

    def settings(self, **changes: Any) -> dict[str, Any]:
        return dict(self.call("POST", "settings", json=changes))

    def advance(self, seconds: float) -> None:
        """Move the sandbox's virtual clock."""
        self.call("POST", "clock", json={"advance": seconds})

    def freeze(self) -> None:
        self.call("POST", "clock", json={"freeze": True})

    def account(self, username: str, *, platform: str = "tiktok", **details: Any) -> dict[str, Any]:
        body = {"platform": platform, "username": username, **details}
        return dict(self.call("POST", "accounts", json=body))

    def token(
        self,
        account: str = "sandbox_creator",
        *,
        platform: str = "tiktok",
        scopes: list[str] | None = None,
    ) -> dict[str, Any]:
        """Tokens without the consent page: access_token, refresh_token, remote_id. `scopes` None: all."""
        body = {"platform": platform, "account": account, "scopes": scopes}
        return dict(self.call("POST", "tokens", json=body))

    def expire_tokens(self, account: str, *, platform: str) -> int:
        """End the account's access tokens ahead of their time; return how many there were."""
        body = {"platform": platform, "account": account}
        return int(self.call("POST", "tokens/expire", json=body)["expired"])

    def comments(self, **filters: str) -> list[dict[str, Any]]:
        """Comments made, oldest first; filters: platform, account, post_id, text."""
        return list(self.call("GET", "comments", params=filters)["comments"])

    def remove_post(self, post_id: str, *, reason: str = "removed by control") -> None:
        self.call("POST", f"posts/{post_id}/remove", json={"reason": reason})

    def environment(self) -> dict[str, dict[str, str]]:
        """The scheduler's settings, by platform, that lead here."""
        return dict(self.call("GET", "environment"))


@dataclass(frozen=True)
class SandboxServer:
    base_url: str

    @property
    def sim(self) -> Sim:
        return Sim(self.base_url)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name
        """Say nothing: pytest's output is for tests."""

    def make_environ(self) -> dict[str, Any]:
        """Let headers with an underscore through: Meta's `file_size` is one."""
        odd = {f"HTTP_{name.upper()}": value for name, value in self.headers.items() if "_" in name}
        return super().make_environ() | odd


@contextmanager
def sandbox_thread(state_dir: Path) -> Iterator[SandboxServer]:
    """Serve from a thread of this process; the port is the system's choice."""
    app = create_sandbox(state_dir=state_dir)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield SandboxServer(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        state = app.extensions["sandbox"]
        assert isinstance(state, Sandbox)
        app.extensions["sandbox.webhooks"].close()
        state.close()


class SandboxProcess:
    """gunicorn in a process group of its own; `kill()` and `start()` again on the same port and folder."""

    def __init__(self, state_dir: Path, *, threads: int = 64, speed: float = 1.0) -> None:
        self._state_dir, self._threads, self._speed = state_dir, threads, speed
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self._port}"
        self.sim = Sim(self.base_url)

    def __enter__(self) -> SandboxProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> SandboxProcess:
        """Start and wait until it answers. Raises RuntimeError with its last lines if it does not."""
        env = os.environ | {"SANDBOX_STATE_DIR": str(self._state_dir), "SANDBOX_SPEED": str(self._speed)}
        command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--workers", "1"]
        command += ["--threads", str(self._threads), "--bind", f"127.0.0.1:{self._port}", "--timeout", "0"]
        command += ["--header-map", "dangerous"]  # Meta's upload header is called file_size
        command += ["--no-control-socket", "sandbox.wsgi:app"]
        self._state_dir.mkdir(parents=True, exist_ok=True)
        log = self._state_dir / "gunicorn.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command, env=env, cwd=ROOT, stdout=sink, stderr=sink, start_new_session=True
            )
        if not self._answers(within=20):
            self.kill()
            raise RuntimeError(f"the sandbox did not start:\n{log.read_text()[-2000:]}")
        return self

    def kill(self) -> None:
        """SIGKILL to gunicorn and its worker at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)  # its own group: start_new_session
            self._process.wait(10)
        except ProcessLookupError:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    def _answers(self, *, within: float) -> bool:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                return requests.get(f"{self.base_url}/__sim/health", timeout=2).ok
            except requests.RequestException:  # not yet listening, or listening and not yet answering
                time.sleep(0.05)
        return False
