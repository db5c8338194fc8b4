"""Asking a dependency without being held up by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Probe(Generic[Answer]):
    """A question whose answer is waited for only so long.

    Everyone who asks while it is being answered waits for the same answer, so a dependency that hangs holds
    one thread, however often it is asked after.
    """

    def __init__(self, question: Callable[[], Answer], *, name: str) -> None:
        self._question = question
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._answer: Future[Answer] = Future()

    def ask(self, *, seconds: float) -> Answer:
        """Return the answer. Raises TimeoutError after `seconds`, or whatever the question raised."""
        return self.start().result(timeout=seconds)

    def start(self) -> Future[Answer]:
        """Begin asking, unless that is under way, and return the answer to come."""
        with self._lock:
            # A thread does not survive a fork: then it is not alive here, and asked anew.
            if self._thread is None or not self._thread.is_alive():
                self._answer = Future()
                self._thread = threading.Thread(
                    target=self._run, args=(self._answer,), name=f"probe-{self._name}", daemon=True
                )
                self._thread.start()
            return self._answer

    def _run(self, answer: Future[Answer]) -> None:
        try:
            answer.set_result(self._question())
        except Exception as error:
            answer.set_exception(error)
