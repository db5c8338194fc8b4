"""`make run` and `make serve` as a stranger meets them: real processes, started, used, killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from dotenv import dotenv_values

from app.platforms.registry import names
from jobs import environment, sessions
from jobs.environment import MARK
from tests.servers import ROOT

READY_SECONDS = 90
pytestmark = pytest.mark.slow


def _mind_ctrl_c() -> None:
    """What a shell starts in the background ignores SIGINT, and so would our child until it has a handler."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stack:
    """One `python -m jobs.stack MODE` in a folder of its own, with its terminal in a file."""

    def __init__(self, data_dir: Path, *, mode: str = "run", **environment: str) -> None:
        data_dir.mkdir(exist_ok=True)
        self.data_dir = data_dir.resolve()
        self.terminal = data_dir.with_suffix(f".{time.monotonic_ns()}.txt")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = kept | {"DATA_DIR": str(data_dir), "BIND": "127.0.0.1:0"} | environment
        with self.terminal.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs.stack", mode],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_mind_ctrl_c,
            )

    @property
    def said(self) -> str:
        return self.terminal.read_text()

    @property
    def url(self) -> str:
        return str(json.loads((self.data_dir / "run" / "stack.json").read_text())["url"])

    def wait_until_ready(self) -> Stack:
        deadline = time.monotonic() + READY_SECONDS
        while "Ctrl-C stops everything" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return self

    def end(self, by: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(by)
        return self.process.wait(timeout=90)  # web may take 35 s, workers 20 (jobs/stack.py)

    def left(self) -> list[int]:
        return sessions.marked(MARK, str(self.data_dir))

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the stack."""
        env = self.environment | {"URL": self.url} | environment
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("stack") / "var")
    try:
        yield started.wait_until_ready()
    finally:
        started.end()


def test_it_says_where_everything_is_and_shows_login_and_key_once(stack: Stack) -> None:
    assert stack.url in stack.said
    assert re.search(r"Login +demo@example.com +\S{12,}", stack.said)
    assert re.search(r"API key +vsk_\S+", stack.said)
    assert "make demo" in stack.said


@pytest.mark.parametrize("path", ["/", "/docs", "/health/detailed", "/health/ready", "/metrics"])
def test_what_it_names_is_there(stack: Stack, path: str) -> None:
    assert requests.get(stack.url + path, timeout=10).status_code == 200


def test_the_login_that_was_shown_works_and_stands_nowhere_in_clear(stack: Stack) -> None:
    shown = re.search(r"Login +(\S+) +(\S+)", stack.said)
    assert shown is not None
    email, password = shown.groups()

    login = {"email": email, "password": password}
    answer = requests.post(f"{stack.url}/api/v1/auth/login", json=login, timeout=10)

    assert answer.status_code == 200
    files = [path for path in stack.data_dir.rglob("*") if path.is_file()]
    assert [path for path in files if password.encode() in path.read_bytes()] == []


def test_what_anybody_may_see_of_its_processes_holds_no_secret(stack: Stack) -> None:
    made = environment.made_secrets(stack.data_dir)
    redis_url = dotenv_values(stack.data_dir / "run" / "stack.env")["REDIS_URL"]
    secrets = {*made.values(), made["ENCRYPTION_KEYS"].partition(":")[2], urlsplit(redis_url).password}
    redis = int((stack.data_dir / "run" / "redis.pid").read_text())

    pids = {*stack.left(), redis}
    shown = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in pids]

    assert len(secrets) == 5 and None not in secrets
    assert any("gunicorn" in line for line in shown) and len(pids) > 5
    assert [line for line in shown if any(str(secret) in line for secret in secrets)] == []


def test_a_second_start_says_which_one_runs(stack: Stack) -> None:
    second = stack.run(sys.executable, "-m", "jobs.stack", "run")

    assert second.returncode == 1
    assert f"already running at {stack.url}: process {stack.process.pid}" in second.stdout


def test_secrets_are_the_owners_alone(stack: Stack) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in stack.data_dir.rglob("*.env")}

    assert modes == {"secrets.env": 0, "stack.env": 0}
    assert (stack.data_dir / "demo.json").stat().st_mode & 0o077 == 0


def test_the_doctor_finds_nothing_to_mend(stack: Stack) -> None:
    examined = stack.run(sys.executable, "-m", "flask", "--app", "wsgi", "doctor")

    assert examined.returncode == 0, examined.stdout + examined.stderr


def test_the_readmes_walk_through_works_when_pasted(stack: Stack, tmp_path: Path) -> None:
    block = re.search(r"<!-- walk-through.*?```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    script = block[1].replace("clip.mp4", str(tmp_path / "clip.mp4"))

    pasted = stack.run("bash", "-euo", "pipefail", "-c", script)

    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    assert "published" in pasted.stdout


def test_the_demo_ends_with_a_page_that_plays_exactly_its_file(stack: Stack) -> None:
    shown = stack.run(sys.executable, "-m", "jobs.demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr

    pages = re.findall(r"http://\S+", shown.stdout.partition("Watch it here:")[2])
    assert len(pages) == len(names())
    for address in pages:
        page = requests.get(address, timeout=10)
        assert (page.status_code, "<video" in page.text) == (200, True), address
    assert shown.stdout.count("posts on the platform: 1\n") == len(names())


def test_the_demo_with_a_killed_worker_still_posts_once(stack: Stack) -> None:
    shown = stack.run(sys.executable, "-m", "jobs.demo", CHAOS="1")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "kill -9" in shown.stdout
    assert shown.stdout.count("posts on the platform: 1\n") == len(names())
    assert "workers ended (killed by SIGKILL)" in stack.said


def test_it_works_twice_and_shows_its_secrets_only_the_first_time(tmp_path: Path) -> None:
    first = Stack(tmp_path / "var").wait_until_ready()
    assert first.end() == 0
    assert first.left() == []

    second = Stack(tmp_path / "var").wait_until_ready()

    assert "API key" not in second.said
    assert second.end(signal.SIGTERM) == 0
    assert second.left() == []


def test_ctrl_c_at_any_moment_leaves_nothing_and_the_next_start_works(tmp_path: Path) -> None:
    for tenths in (2, 5, 10, 16, 25, 40):
        stack = Stack(tmp_path / "var")
        time.sleep(tenths / 10)
        stack.end()
        assert stack.left() == [], f"after {tenths / 10} s"

    again = Stack(tmp_path / "var").wait_until_ready()
    again.end()


def test_sigkill_of_the_runner_leaves_nothing_and_the_next_start_works(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "var").wait_until_ready()

    stack.end(signal.SIGKILL)

    deadline = time.monotonic() + sessions.GRACE_SECONDS + 10
    while stack.left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert stack.left() == []
    Stack(tmp_path / "var").wait_until_ready().end()


def test_what_outlived_runner_and_guard_is_ended_by_the_next_start(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "var").wait_until_ready()
    redis = int((stack.data_dir / "run" / "redis.pid").read_text())
    runner = stack.process.pid
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
    noted = {path.read_text().strip() for path in (stack.data_dir / "run").glob("*.pid")}
    (guard,) = set(children) - noted

    sessions.end([int(guard), runner], by=signal.SIGKILL)
    stack.process.wait()
    assert stack.left() != []

    again = Stack(tmp_path / "var").wait_until_ready()
    assert "that an earlier start left behind" in again.said
    assert not Path(f"/proc/{redis}").exists()
    assert again.end() == 0
    assert again.left() == []


def test_serve_refuses_what_is_unsafe_with_the_whole_list(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "var", mode="serve", DEBUG="true", CRASH_POINTS="x", SECRET_KEY="short")

    assert stack.process.wait(timeout=30) == 1
    for name in ("DEBUG", "CRASH_POINTS", "SECRET_KEY"):
        assert name in stack.said
    assert "Traceback" not in stack.said


def test_serve_makes_no_demo_data_and_says_how_to_register(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "var", mode="serve").wait_until_ready()

    registering = re.search(r"curl -X POST (\S+/auth/register)", stack.said)
    assert registering is not None
    person = {"email": "you@example.com", "password": "at least ten characters"}
    first = requests.post(registering[1], json=person, timeout=10)
    second = requests.post(registering[1], json=person | {"email": "b@example.com"}, timeout=10)

    assert (first.status_code, second.status_code) == (201, 403)
    assert not (stack.data_dir / "demo.json").exists()
    assert stack.end() == 0
    assert stack.left() == []
