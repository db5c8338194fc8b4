"""The dispatcher process: tick, sleep until something is due or somebody wakes it, tick again."""

from __future__ import annotations

import signal
import threading

import redis
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.extensions import db, settings
from app.logging_config import get_logger
from app.monitoring import capture_error, serve_metrics, use_metrics_dir
from app.queue import carrier
from app.services import clock_offset, dispatch, timetable
from jobs import runtime

logger = get_logger(__name__)
RETRY_SECONDS = 1.0
GAP_SECONDS = 0.1  # between ticks, so that what comes due meanwhile is claimed together
OFFSET_EVERY_SECONDS = 30.0


class Dispatcher:
    """Runs until `stop`. Any number may run; each row is claimed by one of them."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stopping = threading.Event()
        self._offset_checked = float("-inf")
        self._clock_is_sane = True
        self._trouble = ""  # the kind of error it was last time: an outage is reported once, not every second

    def stop(self) -> None:
        """End after the present tick."""
        self._stopping.set()

    def run(self) -> None:
        """Tick until stopped. A database or a Redis that is away is waited for."""
        with self._app.app_context():
            logger.info("the dispatcher runs")
            self._plan()
        while not self._stopping.is_set():
            with self._app.app_context():
                seconds = self._tick()
                self._stopping.wait(GAP_SECONDS)
                self._sleep(seconds - GAP_SECONDS)

    def _plan(self) -> None:
        """Write down what of the timetable is not in the database yet; one that is away has it from earlier."""
        try:
            timetable.plan()
        except SQLAlchemyError:
            logger.error("the timetable could not be looked at", exc_info=True)
        finally:
            db.session.remove()

    def _tick(self) -> float:
        try:
            self._check_clock()
            seconds = dispatch.tick() if self._clock_is_sane else RETRY_SECONDS
            self._trouble = ""
            return seconds
        except Exception as error:  # whatever is wrong now, posts must go out once it is right again
            logger.error("the dispatcher could not look for due work", exc_info=True)
            self._report(error)
            db.session.rollback()
            return RETRY_SECONDS
        finally:
            db.session.remove()

    def _report(self, error: Exception) -> None:
        if self._trouble != type(error).__name__:
            capture_error(error)
        self._trouble = type(error).__name__

    def _check_clock(self) -> None:
        if clock.monotonic() - self._offset_checked >= OFFSET_EVERY_SECONDS:
            self._clock_is_sane = clock_offset.is_sane()
            self._offset_checked = clock.monotonic()

    def _sleep(self, seconds: float) -> None:
        if seconds <= 0 or self._stopping.is_set():
            return
        try:
            carrier().beat("dispatcher")
            carrier().sleep(seconds)
        except redis.RedisError:
            self._stopping.wait(seconds)


def main() -> None:
    """Run a dispatcher in this process, with metrics of its own, until SIGTERM or SIGINT."""
    app = runtime.app()
    with app.app_context():
        use_metrics_dir(settings().metrics_dir)
        serve_metrics(app, settings())
    run(app)


def run(app: Flask) -> None:
    """Dispatch until SIGTERM or SIGINT."""
    dispatcher = Dispatcher(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: dispatcher.stop())
    dispatcher.run()
