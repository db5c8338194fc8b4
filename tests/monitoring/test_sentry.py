"""Reports say what happened and where, and carry no secret."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sentry_sdk
from flask import Flask, request

from app import error_handlers, logging_config
from app.config import Settings
from app.exceptions import StorageError
from app.logging_config import bind_context, get_logger
from app.monitoring import capture_killed_horse, init_sentry
from tests.reports import DSN, Kept, kept_reports
from tests.servers import ROOT

SECRETS = [f"s3cr3t-{number:02}-planted" for number in range(16)]
SETTINGS = Settings(
    sentry_dsn=DSN, sentry_traces_sample_rate=1.0, app_version="1.2.3", secret_key=SECRETS[15] + "x" * 20
)


def failing_app() -> Flask:
    """An app whose view leaves a secret in every place a report is made of, and fails."""
    app = Flask("tested")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    logging_config.init_app(app, SETTINGS)
    error_handlers.init_app(app, SETTINGS)

    @app.post("/fail/<path:link>")
    def fail(link: str) -> str:
        password = SECRETS[0]
        bind_context(user_id="user-7")
        get_logger("app.x").warning("refresh_token=%s", SECRETS[1], extra={"client_secret": SECRETS[2]})
        sentry_sdk.add_breadcrumb(message="call", data={"url": f"https://x/?access_token={SECRETS[3]}"})
        sentry_sdk.set_context("grant", {"tokens": {"access_token": SECRETS[4]}})
        sentry_sdk.set_extra("headers", {"Authorization": f"Bearer {SECRETS[5]}"})
        sentry_sdk.set_tag("api_key", SECRETS[6])
        with sentry_sdk.start_span(op="http", name=f"GET https://x/?upload_token={SECRETS[7]}") as span:
            span.set_data("http.query", f"code={SECRETS[8]}")
        raise RuntimeError(
            f"password={SECRETS[9]} {link[:0]} {request.json and password[:0]} {SETTINGS.secret_key}"
        )

    return app


def send_failing_request() -> None:
    signed = f"{SECRETS[10]}{'A' * 40}"
    failing_app().test_client().post(
        f"/fail/{signed}?access_token={SECRETS[11]}",
        json={"password": SECRETS[12]},
        headers={
            "Authorization": f"Bearer {SECRETS[13]}",
            "Cookie": f"session={SECRETS[14]}",
            "X-Request-Id": "r-1",
        },
    )


@pytest.fixture
def reports() -> Iterator[list[dict]]:
    with kept_reports() as found:
        init_sentry(SETTINGS, transport=Kept)
        send_failing_request()
    yield found


def test_no_planted_secret_leaves(reports: list[dict]) -> None:
    text = json.dumps(reports)

    assert {"event", "transaction"} == {report.get("type", "event") for report in reports}
    assert [secret for secret in SECRETS if secret in text] == []


def test_no_planted_secret_is_logged_either(capsys: pytest.CaptureFixture[str]) -> None:
    send_failing_request()

    out = capsys.readouterr().out
    assert "RuntimeError" in out
    assert [secret for secret in SECRETS if secret in out] == []


def test_a_report_says_what_happened_where_and_for_whom(reports: list[dict]) -> None:
    [event] = [report for report in reports if "exception" in report]

    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert (event["release"], event["environment"]) == ("1.2.3", "development")
    assert (event["tags"]["request_id"], event["tags"]["user_id"]) == ("r-1", "user-7")
    assert event["transaction"] == "fail"
    assert [crumb.get("category") for crumb in event["breadcrumbs"]["values"]].count("app.x") == 1
    assert not any("vars" in frame for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])


def test_log_lines_alone_are_no_reports() -> None:
    with kept_reports() as found:
        init_sentry(SETTINGS, transport=Kept)
        try:
            raise ValueError
        except ValueError:
            get_logger("x").error("bad, but handled", exc_info=True)

    assert found == []


def test_an_error_of_the_tree_is_reported_once() -> None:
    app = Flask("tested")
    logging_config.init_app(app, SETTINGS)
    error_handlers.init_app(app, SETTINGS)

    @app.get("/")
    def fail() -> None:
        raise StorageError

    with kept_reports() as found:
        init_sentry(SETTINGS, transport=Kept)
        app.test_client().get("/")

    assert [report["exception"]["values"][-1]["type"] for report in found if "exception" in report] == [
        "StorageError"
    ]


def test_without_an_address_nothing_is_started() -> None:
    init_sentry(Settings(), transport=Kept)

    assert not sentry_sdk.get_client().is_active()


def test_a_killed_horse_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with kept_reports() as found:
        init_sentry(SETTINGS, transport=Kept)
        capture_killed_horse(task_name="jobs.media.measure_video", job_id="j-1", exit_status=9)

    [event] = found
    assert event["message"] == "Worker process killed while running jobs.media.measure_video"
    assert (event["level"], event["tags"]["signal"], event["tags"]["job_id"]) == ("error", 9, "j-1")


# -- jobs, over real HTTP


@contextmanager
def sentry_server() -> Iterator[tuple[str, list[dict]]]:
    """A server that takes envelopes as Sentry does; yields the DSN and the events that arrive."""
    arrived: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            payloads = [json.loads(line) for line in body.splitlines() if line]
            arrived.extend(payload for payload in payloads if "exception" in payload)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://key@127.0.0.1:{server.server_port}/1", arrived
    finally:
        server.shutdown()
        server.server_close()


def test_an_error_in_a_forked_job_arrives_without_its_arguments(redis_url: str) -> None:
    script = textwrap.dedent("""
        import os
        from redis import Redis
        from rq import Queue, Worker
        from app.config import Settings
        from app.logging_config import configure_logging
        from app.monitoring import init_sentry
        settings = Settings(sentry_dsn=os.environ["DSN"])
        configure_logging(settings)
        init_sentry(settings)
        connection = Redis.from_url(os.environ["REDIS_URL"])
        queue = Queue("failing", connection=connection)
        queue.enqueue("json.loads", "s3cr3t-argument {", result_ttl=0, failure_ttl=10)
        Worker([queue], connection=connection, log_job_description=False).work(burst=True, logging_level="ERROR")
    """)

    with sentry_server() as (dsn, arrived):
        environ = {**os.environ, "DSN": dsn, "REDIS_URL": redis_url}
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    assert [event["exception"]["values"][-1]["type"] for event in arrived] == ["JSONDecodeError"]
    assert arrived[0]["extra"]["rq-job"]["func"] == "json.loads"
    assert "s3cr3t-argument" not in json.dumps(arrived)
    assert "s3cr3t-argument" not in done.stdout + done.stderr
