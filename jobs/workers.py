"""The worker processes. One queue each: RQ loses a job when a worker that listens to several is killed.

https://github.com/rq/rq/issues/1716. `flask workers` loads the app once and forks every worker from it, which
shares the memory; it starts again whatever dies. Queue `commit` runs its jobs in the worker process itself,
for its engine lives there; all other queues fork a horse for each job.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections import Counter
from typing import Any, Literal

from rq import SimpleWorker, Worker
from rq.job import Job
from sqlalchemy.exc import SQLAlchemyError

from app import clock, warm_stop
from app.extensions import db, settings
from app.logging_config import get_logger
from app.monitoring import capture_killed_horse, fork_metrics_server, mark_horse, use_metrics_dir
from app.queue import QUEUES, AllowListedJob, QueueName, carrier
from app.services import engine, platforms, staging
from jobs import dispatcher, runtime

logger = get_logger(__name__)
Place = QueueName | Literal["dispatcher"]
PLACES: dict[str, Place] = {"dispatcher": "dispatcher", **{name: name for name in QUEUES}}
WORKER_TTL = 60  # seconds after which a silent worker is forgotten by RQ
SWITCH_SECONDS = 0.0005  # a commit must not wait 5 ms for other threads after each answer of the database
LOOK_SECONDS = 0.05
SETTLED_SECONDS = 5.0  # a worker that lived so long does not crash at its start
STOPPING = (signal.SIGTERM, signal.SIGINT)
RESTART_SECONDS = (0.2, 1.0, 3.0, 10.0)


class _Beating:
    """Reports to the monitors on every turn of RQ's own loop."""

    connection: Any

    def heartbeat(self, *args: Any, **options: Any) -> None:
        super().heartbeat(*args, **options)  # type: ignore[misc]
        role = self.queues[0].name.rsplit(":", 1)[-1]  # type: ignore[attr-defined]
        runtime.app().extensions["carrier"].beat(f"worker.{role}", pid=self.pid)  # type: ignore[attr-defined]  # not the horse's


class ForkingWorker(_Beating, Worker):
    """A horse for each job: what a job leaks or breaks ends with it."""

    def fork_work_horse(self, *args: Any, **options: Any) -> None:
        super().fork_work_horse(*args, **options)
        if warm_stop.is_asked():  # just now: before it was forked, or before its id was known
            self._stop_horse()

    def handle_warm_shutdown_request(self) -> None:
        """End a conversion; every other job is waited for."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        warm_stop.ask()
        self._stop_horse()

    def _stop_horse(self) -> None:
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, warm_stop.SIGNAL)

    def main_work_horse(self, *args: Any, **options: Any) -> Any:
        mark_horse(os.getppid())
        return super().main_work_horse(*args, **options)


class CallingWorker(_Beating, SimpleWorker):
    """Runs jobs in its own process, where the commit engine lives on between them."""


def run_worker(queue: QueueName) -> None:
    """Work on one queue until SIGTERM, which finishes what runs; a conversion is left to another worker."""
    app = runtime.app()
    warm_stop.listen()
    with app.app_context():
        work = carrier()
        kind = CallingWorker if queue == "commit" else ForkingWorker
        worker = kind(
            [work.queues[queue]],
            connection=work.connection,
            job_class=AllowListedJob,
            serializer="json",
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=10,
            log_job_description=False,
            work_horse_killed_handler=_on_killed_horse,
        )
        if queue == "commit":
            engine.engine(app)
            sys.setswitchinterval(SWITCH_SECONDS)
        if queue == "stage":
            _rehearse()
        db.session.remove()
        try:
            worker.work(logging_level="WARNING")
        finally:
            engine.drain()


def _rehearse() -> None:
    """Do once what every horse would do anew. Without a database there is nothing to inherit, and no harm."""
    try:
        staging.rehearse()
    except SQLAlchemyError:
        db.session.rollback()
    db.engine.dispose()  # horses must not share a connection


def _on_killed_horse(job: Job, _pid: int, status: int, _usage: object) -> None:
    capture_killed_horse(task_name=job.func_name or "unknown", job_id=job.id, exit_status=status)


def planned(workers: str) -> list[Place]:
    """Return what each process is to be, as `dispatcher=1,media=1,stage=2,...` asks. Raises ValueError."""
    plan: list[Place] = []
    for entry in workers.split(","):
        name, _, count = entry.strip().partition("=")
        if name not in PLACES:
            raise ValueError(f"WORKERS names {name!r}; known: {', '.join(PLACES)}")
        plan += [PLACES[name]] * int(count or 1)
    return plan


class Herd:
    """Forks a process for each place of the plan and starts again those that die."""

    def __init__(self, plan: list[Place]) -> None:
        self._plan = plan
        self._places: dict[int, int] = {}
        self._deaths: Counter[int] = Counter()
        self._born: dict[int, float] = {}
        self._restart_at: dict[int, float] = {}
        self._stopping = False

    def run(self) -> None:
        """Keep the herd alive until SIGTERM or SIGINT, then end it warmly."""
        for number in STOPPING:
            signal.signal(number, self._stop)
        gc.collect()
        gc.freeze()  # a collection in a child would write to, and so copy, all the memory it shares
        for place in range(len(self._plan)):
            if not self._stopping:
                self._fork(place)
        while self._places or (self._restart_at and not self._stopping):
            self._bury()
            self._restart()

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._places:
            os.kill(pid, signal.SIGTERM)

    def _fork(self, place: int) -> None:
        # No signal in between: the child would take it for its parent's, and the parent not know the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid:
            self._places[pid] = place
            self._born[place] = clock.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            return
        code = 1
        try:
            for number in STOPPING:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            _die_with_parent()
            _become(self._plan[place])
            code = 0
        finally:
            os._exit(code)

    def _bury(self) -> None:
        """Wait for a death; while somebody waits to be started again, only look."""
        if not self._places:
            time.sleep(LOOK_SECONDS)
            return
        pid, status = os.waitpid(-1, os.WNOHANG if self._restart_at else 0)
        place = self._places.pop(pid, None)
        if pid == 0:
            time.sleep(LOOK_SECONDS)
        if place is None or self._stopping:
            return
        lived = clock.monotonic() - self._born[place]
        self._deaths[place] = 0 if lived > SETTLED_SECONDS else self._deaths[place] + 1
        pause = RESTART_SECONDS[min(self._deaths[place], len(RESTART_SECONDS) - 1)]
        self._restart_at[place] = clock.monotonic() + pause
        role, code = self._plan[place], os.waitstatus_to_exitcode(status)
        logger.warning("%s ended with %d; another starts in %.1f s", role, code, pause)

    def _restart(self) -> None:
        for place, at in list(self._restart_at.items()):
            if clock.monotonic() >= at and not self._stopping:
                del self._restart_at[place]
                self._fork(place)


def _become(place: Place) -> None:
    if place == "dispatcher":
        dispatcher.run(runtime.app())
    else:
        run_worker(place)


def _die_with_parent() -> None:
    """Ask Linux to end this worker when its parent dies, so that none is left behind."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return


def main(queues: list[Place] | None = None) -> None:
    """Run the workers of this machine until stopped: the given queues, else what WORKERS plans."""
    app = runtime.app()
    with app.app_context():
        plan = queues or planned(settings().workers)
        platforms.load_authorities()  # horses inherit them
        use_metrics_dir(settings().metrics_dir)
        fork_metrics_server(app, settings())
    if len(plan) == 1:
        _become(plan[0])
    else:
        Herd(plan).run()
