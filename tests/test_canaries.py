"""What looks for secrets over the whole suite finds them: planted in each place, in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flask import Flask

from tests.canaries import PLACES
from tests.handed_out import HANDED_OUT, REPEATED
from tests.servers import ROOT

CONFTEST = """
from tests.canaries import *
from tests.canaries import tell

def pytest_terminal_summary(terminalreporter):
    tell(terminalreporter)
"""
CLEAN = """
import pytest
from app.security import new_secret

def test_a_secret_that_stays_where_it_is():
    assert new_secret() not in "a log line"

@pytest.mark.shows_secrets("on purpose")
def test_a_secret_that_is_shown_on_purpose():
    print(new_secret())
"""
PLANTS = """
import base64
import secrets
import subprocess
from datetime import UTC, datetime

import flask
import prometheus_client
import redis
import sentry_sdk
import sqlalchemy
from app.security import LinkSigner, new_secret
from tests.canaries import canary, look_through_redis
from tests.reports import Kept
from tests.servers import redis_server

def test_log():
    print("made", new_secret())

def answer(status):
    app = flask.Flask("ours")
    app.extensions["settings"] = None
    app.add_url_rule("/", view_func=lambda: ({"message": new_secret()}, status))
    app.test_client().get("/")

def test_error():
    answer(404)

def test_answer():
    answer(200)

def test_argv():
    subprocess.run(["/bin/true", canary("argument")])

def test_environment():
    subprocess.run(["/bin/true"], env={"PASSWORD": canary("variable")})

def test_forms():
    print("hexadecimal", secrets.token_hex(20))
    print("bytes", secrets.token_bytes(32))
    print("basic", base64.b64encode(f"user:{canary('basic')}".encode()).decode())
    print("link", LinkSigner("s").sign({"k": 1}, purpose="file", expires_at=datetime.now(UTC)))
    print("bucket", "https://b/k?X-Amz-Signature=0123456789abcdef")

def test_metrics():
    prometheus_client.Counter("planted", "Planted.", ["secret"]).labels(canary("label"))

def test_event():
    with sqlalchemy.create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE events (data)")
        connection.exec_driver_sql("INSERT INTO events VALUES (?)", (new_secret(),))

def test_stored():
    with sqlalchemy.create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE idempotency_keys (body)")
        connection.exec_driver_sql("INSERT INTO idempotency_keys VALUES (?)", (new_secret(),))

def test_report():
    item = sentry_sdk.envelope.Envelope()
    item.add_event({"message": new_secret()})
    Kept().capture_envelope(item)

def test_redis(tmp_path):
    with redis_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.hset("rq:job:1", "data", new_secret())
        look_through_redis(client)

def test_file(tmp_path):
    (tmp_path / "worker.log").write_text("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig")
"""


def run(folder: Path, tests: str, *options: str) -> tuple[int, list[str]]:
    """Run tests in a pytest of their own; return its exit status and what it says it found."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_planted.py").write_text(tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist",
        *options,
        str(folder),
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = inherited | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    found = [line for line in done.stdout.splitlines() if line.startswith("SECRET LEFT")]
    assert " passed" in done.stdout, done.stdout + done.stderr
    return done.returncode, found


def test_a_secret_left_anywhere_fails_the_session_whose_tests_all_passed(tmp_path: Path) -> None:
    status, found = run(tmp_path, PLANTS, "-n", "2")

    assert status == 1
    text = "\n".join(found)
    assert {place for place in PLACES if f"LEFT {place}: " in text} == set(PLACES), text
    assert "test_planted.py::test_redis" in text
    assert "worker.log" in text
    forms = ("hexadecimal", "bytes", "basic", "link", "bucket")
    assert [
        form for form in forms if not any(f"{form} " in line for line in found if "test_forms" in line)
    ] == []


def test_every_answer_that_may_hand_out_a_secret_exists(app: Flask) -> None:
    assert {*HANDED_OUT, *REPEATED} - set(app.view_functions) == set()


def test_a_session_that_leaves_no_secret_passes(tmp_path: Path) -> None:
    assert run(tmp_path, CLEAN, "-n", "0") == (0, [])
