"""The commit engine: makes many short calls at once, each at its own instant, and never one twice.

One engine lives in each commit worker. RQ jobs only hand claimed targets in and return, so that one slow call
never delays another post. A single thread, the conductor, owns the database: it writes intents for as many
posts as there are free threads, lets the pool send, and writes each result as it comes. Pool threads see
frozen data and speak HTTP, nothing else. An intent is written moments before its due time; its thread holds the
call back until then, so that no transaction lies between a due time and its call.

    submit -> waiting (heap by due time) -> armed (bytes and connection ready) -> intent -> due -> sent -> settled

Killed at any moment, nothing is lost: `next_at` brings each row back; a written intent is asked about.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import cast

from flask import Flask
from sqlalchemy.exc import OperationalError

from app import clock, crash_points
from app.extensions import db, settings
from app.logging_config import get_logger, log_context
from app.models import Target
from app.platforms.base import HandleDead, NotCommitted, PreparedCommit
from app.queue import wake_dispatcher
from app.services import calls, intents, ledger, settling
from app.services.outcomes import Outcome
from app.services.platforms import noting_calls
from app.services.publishing import Loaded
from app.services.slots import Done, Slot, arm, outcome_of

logger = get_logger(__name__)
INTENT_AHEAD = 0.15  # seconds before its due time that a commit is written down: a transaction takes less
DATABASE_PAUSE = 0.2  # seconds before a database that is away or busy is tried again
ARMED_AHEAD = 400  # commits armed at a time: each holds a connection (a process may open 1,024 files)
AHEAD_BYTES = 32_000_000  # and its last bytes; beyond this sum only as many as there are threads
ARMERS = 24  # threads that connect ahead
ASKED_BESIDE = 2  # questions asked at a time while commits are late,
PRESSING = 15.0  # and only those whose lease ends within these seconds
_SOON = (NotCommitted, HandleDead)  # outcomes after which the target is due again at once


class Engine:
    """Runs until `drain`. Safe to submit to from any thread."""

    def __init__(self, app: Flask, *, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._inbox: queue.SimpleQueue[Loaded | Done | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._armoury = ThreadPoolExecutor(ARMERS, thread_name_prefix="arm")  # so that no call waits for one
        self._numbers = itertools.count()
        self._waiting: list[Slot] = []
        self._armed: list[Slot] = []
        self._questions: list[Loaded] = []
        self._unsettled: list[Done] = []  # results the database would not take yet
        self._arming: dict[int, Slot] = {}
        self._calling = self._asking = 0
        self._draining = self._is_database_away = False
        self._conductor = threading.Thread(target=self._conduct, name="conductor", daemon=True)
        self._conductor.start()

    def submit(self, items: Iterable[Loaded]) -> None:
        """Take over claimed targets: commits wait for their due time, everything else is asked at once."""
        for item in items:
            self._inbox.put(item)

    def drain(self) -> None:
        """Finish what is called or due within the claim's lead, then stop. For a warm shutdown and tests."""
        self._draining = True
        self._inbox.put(None)
        self._conductor.join()
        self._pool.shutdown()
        self._armoury.shutdown()

    # -- the conductor

    def _conduct(self) -> None:
        while not (self._draining and self._is_idle()):
            results = self._collect(self._patience())
            self._is_database_away = False
            with self._app.app_context():
                self._guarded(self._commit_due)  # first: answers can wait, a due time cannot
                self._guarded(partial(self._settle, results))
                self._guarded(self._ask)
            self._arm_next()

    def _is_idle(self) -> bool:
        queued = self._waiting or self._armed or self._questions or self._unsettled
        return not queued and not self._arming and not self._calling and self._inbox.empty()

    def _patience(self) -> float:
        """Return how long nothing needs doing, in seconds."""
        if self._is_database_away:
            return DATABASE_PAUSE
        if self._questions and self._free_for_questions > 0:
            return 0.0
        if not self._armed or not self._free:
            return 1.0
        return min(1.0, max(0.0, self._armed[0].due - INTENT_AHEAD - clock.now().timestamp()))

    @property
    def _free(self) -> int:
        return self._threads - self._calling

    @property
    def _free_for_questions(self) -> int:
        """At most half of the threads ask, so that a platform that hangs never delays another's commit.

        While commits are late, they go first; what would lose its lease is asked all the same.
        """
        most = max(1, self._threads // 2)
        if self._questions and self._is_late:
            left = self._questions[0].lease_monotonic - clock.monotonic()
            most = ASKED_BESIDE if left < PRESSING else 0
        return min(self._free, most - self._asking)

    @property
    def _is_late(self) -> bool:
        now = clock.now().timestamp()
        return any(slots and slots[0].due <= now for slots in (self._armed, self._waiting))

    def _guarded(self, work: Callable[[], None]) -> None:
        """A database that is away is tried again; whatever else goes wrong, the rows' leases bring it back."""
        try:
            work()
        except Exception as error:
            self._is_database_away |= isinstance(error, OperationalError)
            logger.error("the commit engine could not write to the database", exc_info=True)
            db.session.rollback()

    def _collect(self, patience: float) -> list[Done]:
        """Wait for something to happen, then take in all that has."""
        results: list[Done] = []
        try:
            arrived = self._inbox.get(timeout=patience) if patience > 0 else self._inbox.get_nowait()
            while True:
                if isinstance(arrived, Done):
                    self._take_back(arrived, results)
                elif arrived is not None:
                    self._take_in(arrived)
                arrived = self._inbox.get_nowait()
        except queue.Empty:
            return results

    def _take_in(self, item: Loaded) -> None:
        if item.kind == "commit":
            heapq.heappush(self._waiting, Slot(item.due_at.timestamp(), next(self._numbers), item))
        else:
            self._questions.append(item)

    def _take_back(self, done: Done, results: list[Done]) -> None:
        if done.slot is None:
            self._calling -= 1
            self._asking -= done.item.kind != "commit"
            results.append(done)
            return
        del self._arming[done.slot.number]
        if done.outcome is not None:
            results.append(done)
        elif not done.lost:
            heapq.heappush(self._armed, done.slot)

    def _settle(self, results: list[Done]) -> None:
        kept = [done for done in self._unsettled if not self._draining or done.item.holds_lease()]  # fenced
        answered = kept + [done for done in results if not done.lost]
        self._unsettled = []
        if not answered:
            return
        try:
            settling.settle([(done.item, done.outcome) for done in answered])
        except OperationalError:
            self._unsettled = answered
            raise
        crash_points.hit("commit.after_result", *(done.item.platform.name for done in answered))
        if any(done.item.kind == "preflight" or isinstance(done.outcome, _SOON) for done in answered):
            wake_dispatcher()

    # -- questions: preflight, locate, watch

    def _ask(self) -> None:
        room = max(0, self._free_for_questions)
        batch, self._questions = self._questions[:room], self._questions[room:]
        try:
            begun = _begin(batch) if batch else []
        except OperationalError:
            self._questions += [item for item in batch if item.holds_lease()]
            raise
        for item in begun:
            self._call(item, calls.QUESTIONS[item.kind])

    def _call(self, item: Loaded, ask: Callable[[Loaded], Outcome]) -> None:
        self._calling += 1
        self._asking += item.kind != "commit"
        self._pool.submit(self._work, item, ask, None)

    def _work(self, item: Loaded, ask: Callable[[Loaded], Outcome], slot: Slot | None) -> None:
        """Run in a pool thread: one call; whatever it ends in comes back."""
        if slot is None and item.kind == "commit":
            calls.wait_until_due(item)
        item = replace(item, called_at=clock.now())
        with log_context(**item.log_ids()), noting_calls() as noted:
            done = outcome_of(item, ask, slot)
        self._inbox.put(replace(done, item=replace(item, calls=tuple(noted))))

    # -- commits

    def _arm_next(self) -> None:
        """Arm the next commits: always as many as there are threads, and many more of those that send little."""
        ahead = [*self._arming.values(), *self._armed]
        count, size = len(ahead), sum(slot.item.commit_bytes for slot in ahead)
        while self._waiting and count < (ARMED_AHEAD if size < AHEAD_BYTES else self._threads):
            slot = heapq.heappop(self._waiting)
            self._arming[slot.number] = slot
            count, size = count + 1, size + slot.item.commit_bytes
            self._armoury.submit(self._work, slot.item, partial(arm, slot), slot)

    def _commit_due(self) -> None:
        now = clock.now().timestamp()
        self._commit_together(self._take_armed(until=now))
        # What is due at other instants has its turn after this.
        if self._armed and self._armed[0].due <= now + INTENT_AHEAD:
            self._commit_together(self._take_armed(until=self._armed[0].due))

    def _take_armed(self, *, until: float) -> list[Slot]:
        due: list[Slot] = []
        while self._armed and len(due) < self._free and self._armed[0].due <= until:
            due.append(heapq.heappop(self._armed))
        return due

    def _commit_together(self, due: Sequence[Slot]) -> None:
        """Commit what is late, or what is due at one instant: it happens at one time for quotas and repost gaps."""
        if not due:
            return
        crash_points.hit("commit.before_intent", *(slot.item.platform.name for slot in due))
        for together in ([slot for slot in due if not slot.item.is_slow_commit], *_alone(due)):
            self._commit(together)

    def _commit(self, slots: Sequence[Slot]) -> None:
        """Write the intents of these commits in one transaction, then let each be sent."""
        if not slots:
            return
        prepared = {slot.item.ref.id: slot.prepared for slot in slots}
        try:
            ready = intents.write_intents([slot.item for slot in slots])
        except OperationalError:
            self._armed += [slot for slot in slots if slot.item.holds_lease()]
            heapq.heapify(self._armed)
            raise
        for item in ready:
            crash_points.hit("commit.after_intent", item.platform.name)
            self._call(item, partial(calls.send, cast(PreparedCommit, prepared[item.ref.id])))


def _begin(questions: Sequence[Loaded]) -> list[Loaded]:
    """Count and write down that these are asked; a watch needs no ledger row. Commits."""
    asked = ledger.open_many([item for item in questions if item.kind != "watch"])
    Target.count_starts([item.ref for item in questions])
    db.session.commit()
    return [*asked, *(item for item in questions if item.kind == "watch")]


def _alone(slots: Sequence[Slot]) -> list[list[Slot]]:
    """A commit that sends a whole file has a lease of its own length, so it shares no transaction."""
    return [[slot] for slot in slots if slot.item.is_slow_commit]


# -- handing work in

_engine: Engine | None = None
_starting = threading.Lock()


def engine(app: Flask) -> Engine:
    """Return this process's engine, started on first use."""
    global _engine
    with _starting:
        if _engine is None:
            _engine = Engine(app, threads=settings().commit_threads)
        return _engine


def drain() -> None:
    """Let this process's engine finish."""
    global _engine
    with _starting:
        if _engine is not None:
            _engine.drain()
            _engine = None
