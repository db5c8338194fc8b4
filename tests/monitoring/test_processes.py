"""Counts are exact over several web processes and over workers that fork a process for each job."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from app.monitoring import clear_metrics_dir
from tests.servers import ROOT, free_port


def sample(text: str, name: str) -> float:
    """The sum of all samples of this name."""
    return sum(float(found) for found in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def run(script: str, metrics: Path, **environ: str) -> str:
    """Run a script in a process that counts into `metrics`; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SCRAPE = """
    from flask import Flask
    from app import monitoring
    from app.config import Settings
    app = Flask("x")
    monitoring.init_app(app, Settings())
    print(app.test_client().get("/metrics").text)
"""


@contextmanager
def web(data_dir: Path, **environ: str) -> Iterator[tuple[str, psutil.Process]]:
    """Our gunicorn with two processes, on a free port and an empty database; yields its address and parent."""
    port = free_port()
    settings = {"DATA_DIR": str(data_dir), "BIND": f"127.0.0.1:{port}", "WEB_PROCESSES": "2"}
    with (data_dir / "web.log").open("w") as log:
        command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings, **environ}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until_alive(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def wait_until_alive(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"{address}/health/live", timeout=1)
            return
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the web server does not start"
            time.sleep(0.1)


def test_two_web_processes_answer_with_one_sum(tmp_path: Path) -> None:
    with web(tmp_path) as (address, _):
        for _ in range(60):
            requests.get(f"{address}/nowhere", timeout=5)
        texts = {requests.get(f"{address}/metrics", timeout=5).text for _ in range(4)}

    unmatched = 'http_requests_total{endpoint="unmatched",method="GET",status="404"}'
    assert [sample(text, re.escape(unmatched)) for text in texts] == [60.0] * len(texts)
    assert len(list((tmp_path / "metrics").glob("counter_*.db"))) == 2  # both took part
    assert all(sample(text, "http_requests_in_progress") == 0 for text in texts)


def test_what_a_killed_web_process_had_in_progress_is_forgotten(tmp_path: Path) -> None:
    with web(tmp_path) as (address, parent):
        requests.get(f"{address}/nowhere", timeout=5)
        port = int(address.rpartition(":")[2])
        before = {child.pid for child in parent.children()}
        held = [hold_open(port) for _ in range(4)]  # requests whose bodies never come
        deadline = time.monotonic() + 120
        while sample(requests.get(f"{address}/metrics", timeout=5).text, "http_requests_in_progress") < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        while before & {child.pid for child in parent.children()} or len(parent.children()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        wait_until_alive(address)
        text = requests.get(f"{address}/metrics", timeout=5).text
        for connection in held:
            connection.close()

    assert sample(text, "http_requests_in_progress") == 0
    assert sample(text, "http_requests_total") >= 1


def hold_open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )
    return connection


def test_horses_of_an_rq_worker_share_files_and_lose_no_count(tmp_path: Path, redis_url: str) -> None:
    script = """
        import os, sys
        from redis import Redis
        from rq import Queue, Worker
        from app.monitoring import mark_horse, track_rq_job
        class Forking(Worker):
            def main_work_horse(self, *args, **kwargs):
                mark_horse(os.getppid())
                return super().main_work_horse(*args, **kwargs)
        connection = Redis.from_url(os.environ["REDIS_URL"])
        queue = Queue("counted", connection=connection)
        for _ in range(20):
            queue.enqueue("app.monitoring.track_rq_job", "job", "success", result_ttl=0)
        track_rq_job("job", "parent")
        Forking([queue], connection=connection).work(burst=True, logging_level="ERROR")
    """

    run(script, tmp_path, REDIS_URL=redis_url)
    text = run(SCRAPE, tmp_path)

    for name in ("rq_jobs_total", "celery_tasks_total"):
        assert sample(text, rf'{name}\{{status="success",task_name="job"\}}') == 20
        assert sample(text, rf'{name}\{{status="parent",task_name="job"\}}') == 1
    assert len(list(tmp_path.glob("counter_*.db"))) == 2  # the worker's and its horses'


def test_collectors_answer_in_multiprocess_mode_too(tmp_path: Path) -> None:
    script = f"""{SCRAPE.rsplit("print", 1)[0]}
    from prometheus_client.metrics_core import GaugeMetricFamily
    monitoring.register_collector(lambda: [GaugeMetricFamily("ducks", "On the pond.", value=3)], name="pond")
    print(app.test_client().get("/metrics").text)
    """

    assert "\nducks 3.0\n" in run(script, tmp_path)


def test_the_folder_can_be_chosen_late_and_the_variable_wins(tmp_path: Path) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from app.monitoring import track_video_upload, use_metrics_dir
        chosen = os.environ.pop("PROMETHEUS_MULTIPROC_DIR")
        late = use_metrics_dir(Path(chosen) / "late")
        track_video_upload("success")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = chosen
        print(late, use_metrics_dir(Path("elsewhere")), len(list(late.glob("*.db"))), oct(late.stat().st_mode))
    """

    late, chosen, files, mode = run(script, tmp_path).split()

    assert (late, chosen, files, mode[-3:]) == (str(tmp_path / "late"), str(tmp_path), "1", "700")


def test_clearing_begins_at_zero(tmp_path: Path) -> None:
    run("from app.monitoring import track_video_upload; track_video_upload('success')", tmp_path)
    (tmp_path / "notes.txt").write_text("not ours")

    clear_metrics_dir(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert sample(run(SCRAPE, tmp_path), "video_uploads_total") == 0


@pytest.mark.parametrize("name", ["missing/deep"])
def test_clearing_makes_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    clear_metrics_dir(tmp_path / name)

    assert (tmp_path / name).is_dir()
