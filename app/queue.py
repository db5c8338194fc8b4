"""Work is handed to RQ by name. Redis only carries it: every piece is found again in the database.

The functions live in `jobs/`, which this package never imports; a fitness test proves that each name
resolves. `AllowListedJob` refuses to run anything that is not in the table.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from flask import Flask, current_app
from rq import Queue
from rq.job import Job
from rq.timeouts import JobTimeoutException

from app import clock
from app.config import Settings
from app.logging_config import log_context
from app.monitoring import track_rq_job

WAIT_SECONDS = 3600
JobTimeout = JobTimeoutException  # raised in a job that runs out of its time
ALIVE_SECONDS = 90  # RQ's own loop turns at least every minute
QueueName = Literal["media", "stage", "commit", "default"]
QUEUES: tuple[QueueName, ...] = ("media", "stage", "commit", "default")


@dataclass(frozen=True)
class Task:
    """A function of `jobs/` and the queue it runs on. `timeout` in seconds ends a job that hangs."""

    function: str
    queue: QueueName
    timeout: int


MEASURE_VIDEO = Task("jobs.media.measure_video", "media", 6 * 3600)  # fetches all of an original
MAKE_RENDITION = Task("jobs.media.make_rendition", "media", 12 * 3600)  # most end earlier: `seconds_allowed`
EXPIRE_UPLOAD = Task("jobs.media.expire_upload", "default", 3600)  # joins what may be thousands of parts
IMPORT_UPLOAD = Task("jobs.media.import_upload", "media", 6 * 3600)
STAGE_TARGET = Task("jobs.publish.stage_target", "stage", 900)
CALL_PLATFORM = Task("jobs.publish.call_platform", "commit", 120)
FAN_OUT_EVENTS = Task("jobs.webhooks.fan_out_events", "default", 60)
DELIVER_EVENT = Task("jobs.webhooks.deliver_event", "default", 60)
SEND_MAIL = Task("jobs.mail.send_mail", "default", 120)
RUN_STEP = Task("jobs.steps.run_step", "default", 180)
DO_CHORE = Task("jobs.chores.do_chore", "default", 3600)
ASK_POSTING_OPTIONS = Task("jobs.channels.ask_posting_options", "default", 120)
REFRESH_CREDENTIAL = Task("jobs.credentials.refresh_credential", "default", 120)
TASKS: dict[str, Task] = {task.function: task for task in list(globals().values()) if isinstance(task, Task)}


class JobNotAllowed(Exception):  # noqa: N818 - reads as what happened
    """Redis held a job whose function is not one of ours."""


class AllowListedJob(Job):
    """An RQ job that runs only functions of the table: what lies in Redis is not trusted with a name."""

    def perform(self) -> Any:
        if self.func_name not in TASKS:
            raise JobNotAllowed(f"refused to run {self.func_name!r}")
        task_name = self.func_name.rsplit(".", 1)[-1]
        with log_context(job_id=self.id, task=task_name):
            try:
                result = super().perform()
            except BaseException:
                track_rq_job(task_name=task_name, status="failure")
                raise
            track_rq_job(task_name=task_name, status="success")
            return result


class Carrier:
    """The app's queues. `enqueue` raises redis.RedisError when Redis is away; the lease heals what is lost."""

    def __init__(self, connection: redis.Redis, *, prefix: str) -> None:
        self.connection = connection
        self.prefix = prefix
        self.queues = {name: self._queue(name) for name in QUEUES}

    def _queue(self, name: QueueName) -> Queue:
        return Queue(
            f"{self.prefix}:{name}", connection=self.connection, job_class=AllowListedJob, serializer="json"
        )

    def enqueue(
        self, work: Iterable[tuple[Task, tuple[Any, ...]]], *, wait_seconds: int = WAIT_SECONDS
    ) -> None:
        """Hand over (task, arguments) pairs; one round trip for each queue. Redis drops a job that has waited
        longer than `wait_seconds`, so that it costs nobody a process."""
        by_queue: dict[QueueName, list[Any]] = {}
        for task, args in work:
            data = Queue.prepare_data(
                task.function,
                args=args,
                timeout=task.timeout,
                result_ttl=0,
                failure_ttl=3600,
                ttl=wait_seconds,
            )
            by_queue.setdefault(task.queue, []).append(data)
        for name, jobs in by_queue.items():
            self.queues[name].enqueue_many(jobs)

    def waiting(self) -> dict[QueueName, int]:
        """Return how many jobs wait in each queue. Raises redis.RedisError when Redis is away."""
        with self.connection.pipeline(transaction=False) as pipe:
            for queue in self.queues.values():
                pipe.llen(queue.key)
            return dict(zip(self.queues, pipe.execute(), strict=True))

    def wake_dispatcher(self) -> None:
        """Cut the dispatcher's sleep short, because something may be due earlier than it thinks."""
        key = f"{self.prefix}:wake"
        with self.connection.pipeline(transaction=False) as pipe:
            pipe.lpush(key, 1)
            pipe.ltrim(key, 0, 0)
            pipe.expire(key, 60)
            pipe.execute()

    def beat(self, role: str, *, pid: int | None = None) -> None:
        """Say that this process (or that with `pid`) lives. Raises redis.RedisError."""
        key = f"{self.prefix}:alive:{role}:{socket.gethostname()}:{pid or os.getpid()}"
        self.connection.set(key, clock.isoformat(clock.now()), ex=ALIVE_SECONDS)

    def alive(self) -> dict[str, int]:
        """Return how many processes of each role have been heard of lately, e.g. {"dispatcher": 1}."""
        roles = Counter(
            key.decode().split(":")[2]
            for key in self.connection.scan_iter(f"{self.prefix}:alive:*", count=200)
        )
        return dict(roles)

    def sleep(self, seconds: float) -> None:
        """Sleep until woken, at most `seconds`. Raises redis.RedisError when Redis is away."""
        self.connection.blpop([f"{self.prefix}:wake"], timeout=max(seconds, 0.01))


def init_app(app: Flask, settings: Settings) -> None:
    """Make the app's carrier. Nothing is connected yet."""
    connection = redis.Redis.from_url(
        settings.redis_url or "redis://127.0.0.1:6379/0", socket_timeout=5, socket_connect_timeout=2
    )
    app.extensions["carrier"] = Carrier(connection, prefix=settings.queue_prefix)


def carrier() -> Carrier:
    return cast(Carrier, current_app.extensions["carrier"])


def enqueue(task: Task, *args: Any) -> None:
    """Hand one piece of work over, after the commit that made it true. Redis being away is not an error."""
    try:
        carrier().enqueue([(task, args)])
    except redis.RedisError:
        return  # the row's next_at brings it back


def wake_dispatcher() -> None:
    """Tell the dispatcher to look now. Redis being away is not an error: it looks every second anyway."""
    try:
        carrier().wake_dispatcher()
    except redis.RedisError:
        return
