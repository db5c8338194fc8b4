"""Trouble on demand: which operations exist, which of their calls go wrong, and how."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from flask import Response, current_app, g, json, make_response, request
from flask.typing import ResponseReturnValue

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACTIONS = {
    "status": "answer with `status`, `headers` and `body`; `when: after` lets the call happen first",
    "delay": "wait `seconds` before (or, `when: after`, after) the call happens",
    "drop_before": "close the connection; nothing has happened",
    "hang": "wait `seconds`, then close the connection; nothing has happened",
    "drop_after": "let the call happen, then close the connection without an answer",
    "truncate": "let the call happen, send `bytes` of the answer's body, then close the connection",
    "malformed": "let the call happen, answer with `body` or with broken JSON",
    "store_partial": "store the first `bytes` of the body, then close the connection",
}
OPERATIONS: dict[str, str] = {}
EVERY = -1


@dataclass
class Fault:
    """Strikes calls of `operation` (a name or a pattern such as `tiktok.*`).

    Counting from the `nth` matching call (default: the next one) it strikes `times` calls (default 1; -1:
    every one), each with `probability`, drawn from `seed`.
    """

    operation: str
    action: str
    nth: int = 1
    times: int = 1
    probability: float = 1.0
    seed: int = 0
    when: str = "before"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0
    bytes: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: int = 0
    fired: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # repeatable, not secret

    def strikes(self) -> bool:
        """Count one matching call and tell whether it goes wrong."""
        self.seen += 1
        over = self.times != EVERY and self.fired >= self.times
        if over or self.seen < self.nth or self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def dump(self) -> dict[str, Any]:
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}


class FaultEngine:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arm a fault. Raises ValueError for an unknown operation or action, or a wrong type."""
        if not any(fnmatchcase(name, fault.operation) for name in OPERATIONS):
            raise ValueError(f"operation: {fault.operation!r} is none of {', '.join(sorted(OPERATIONS))}")
        if fault.action not in ACTIONS:
            raise ValueError(f"action: must be one of {', '.join(ACTIONS)}")
        if fault.when not in ("before", "after"):
            raise ValueError("when: must be before or after")
        numbers = ("nth", "times", "probability", "seed", "status", "seconds", "bytes")
        if wrong := [name for name in numbers if not isinstance(getattr(fault, name), int | float)]:
            raise ValueError(f"{', '.join(wrong)}: must be a number")
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, operation: str) -> Fault | None:
        """Return the first fault that strikes this call; every fault that matches counts the call."""
        with self._lock:
            matching = [fault for fault in self._faults if fnmatchcase(operation, fault.operation)]
            striking = [fault for fault in matching if fault.strikes()]
        return striking[0] if striking else None

    def list(self) -> list[Fault]:
        with self._lock:
            return [*self._faults]

    def clear(self, fault_id: str | None = None) -> None:
        with self._lock:
            self._faults = [f for f in self._faults if fault_id is not None and f.id != fault_id]


P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]
Resolve = Callable[[], tuple[str, Fault | None]]


def declare(name: str, summary: str) -> None:
    """Make an operation known that a view's `resolve` tells."""
    OPERATIONS[name] = summary


def operation(
    name: str, summary: str, *, resolve: Resolve | None = None
) -> Callable[[View[P]], Callable[P, Response]]:
    """Name a view so that faults can strike it.

    `resolve` may tell, from the request, a more special name and a fault of the request's own (a marker in
    the caption), which goes before the armed ones.
    """
    declare(name, summary)

    def decorate(view: View[P]) -> Callable[P, Response]:
        @wraps(view)
        def run(*args: P.args, **kwargs: P.kwargs) -> Response:
            engine: FaultEngine = current_app.extensions["sandbox.faults"]
            actual, own = resolve() if resolve else (name, None)
            g.operation = actual
            g.fault = own or engine.take(actual)
            return _perform(g.fault, lambda: _answer(lambda: view(*args, **kwargs)))

        return run

    return decorate


def _answer(view: Callable[[], ResponseReturnValue]) -> Response:
    """Call a view and turn its refusals into answers here, so that a drop can follow them."""
    try:
        return make_response(view())
    except Exception as error:  # handle_user_exception raises again what no handler knows
        return make_response(current_app.handle_user_exception(error))


def _perform(fault: Fault | None, call: Callable[[], Response]) -> Response:
    if fault is None:
        return call()
    return _PLAYERS[fault.action](fault, call)


def _play_status(fault: Fault, call: Callable[[], Response]) -> Response:
    if fault.when == "after":
        call()
    return _canned(fault, default="")


def _play_delay(fault: Fault, call: Callable[[], Response]) -> Response:
    if fault.when == "before":
        time.sleep(fault.seconds)
        return call()
    response = call()
    time.sleep(fault.seconds)
    return response


def _play_drop_before(_fault: Fault, _call: Callable[[], Response]) -> Response:
    return Dropped()


def _play_hang(fault: Fault, _call: Callable[[], Response]) -> Response:
    time.sleep(fault.seconds)
    return Dropped()


def _play_drop_after(_fault: Fault, call: Callable[[], Response]) -> Response:
    call()
    return Dropped()


def _play_truncate(fault: Fault, call: Callable[[], Response]) -> Response:
    return Dropped(call(), fault.bytes)


def _play_malformed(fault: Fault, call: Callable[[], Response]) -> Response:
    call()
    return _canned(fault, default='{"data": {"sta', status=200)


def _play_store_partial(fault: Fault, call: Callable[[], Response]) -> Response:
    g.store_only = fault.bytes
    return _play_drop_after(fault, call)


_PLAYERS: dict[str, Callable[[Fault, Callable[[], Response]], Response]] = {
    "status": _play_status,
    "delay": _play_delay,
    "drop_before": _play_drop_before,
    "hang": _play_hang,
    "drop_after": _play_drop_after,
    "truncate": _play_truncate,
    "malformed": _play_malformed,
    "store_partial": _play_store_partial,
}


def _canned(fault: Fault, *, default: str, status: int | None = None) -> Response:
    drain()
    body = default if fault.body is None else fault.body
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/json"} | fault.headers
    return Response(text, status=status or fault.status, headers=headers)


def drain() -> None:
    """Read what is left of the body: a server that answers and closes too soon resets the connection, and
    the client never sees the answer."""
    while request.stream.read(1 << 20):
        pass


class Dropped(Response):
    """No answer, or the first `sent` bytes of one; then the TCP connection is closed, really.

    Both servers leave their socket in the environment. Once the connection is gone their next write fails
    with EPIPE, which they take for a client that went away.
    """

    def __init__(self, whole: Response | None = None, sent: int = 0) -> None:
        super().__init__(status=whole.status_code if whole else 500)
        g.dropped = True
        self._whole, self._sent = whole, sent

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        if self._whole is None:
            _reset(connection)
            start_response("500 DROPPED", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        body = self._whole.get_data()
        start_response(self._whole.status, self._whole.get_wsgi_headers(environ).to_wsgi_list())
        return _partly(body[: self._sent], connection)


def _partly(start: bytes, connection: socket.socket | None) -> Iterator[bytes]:
    yield start
    _shut(connection)


def _reset(connection: socket.socket | None) -> None:
    """Reset the connection at once, also one whose client is still sending.

    The servers go on using the file descriptor, so it is not closed but exchanged for the end of a dead
    pair: that closes the connection itself, with a reset because nothing lingers.
    """
    if connection is None:
        raise RuntimeError("this server does not show its socket: a drop cannot be played")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dead, other = socket.socketpair()
    with dead, other:
        os.dup2(dead.fileno(), connection.fileno(), inheritable=False)


def _shut(connection: socket.socket | None) -> None:
    """End the connection in order: what was sent before still arrives."""
    if connection is None:
        raise RuntimeError("this server does not show its socket: a drop cannot be played")
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was quicker
