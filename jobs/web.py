"""gunicorn's threads, which do not wait for ever for whoever sends slowly.

A request is read by the thread that will answer it, without a limit of time: eight connections that send a
byte now and then would keep everybody else out. A proxy in front that buffers requests is still better.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from app import clock

PATIENCE = 20.0  # seconds a connection's bytes may be waited for, all in all
MOST_PATIENCE = 60.0  # seconds: what came quickly earns no right to keep a thread waiting for ever
DRAIN_SECONDS = 0.1  # for what is left of a body that nobody wants; then the connection is closed
DRAIN_BYTES = 64 * 1024
SLOWEST = 10_000  # bytes a second that earn as much patience as they take; no video is sent more slowly
DRAINED = 64 * 1024  # bytes; gunicorn.http.parser._DRAIN_MAX_BYTES


class Patience:
    """Reads as `read` does, from `sock`, until its sender has been waited for too long.

    Then it raises ConnectionResetError, which gunicorn takes for a sender that went away.
    """

    def __init__(self, read: Callable[..., bytes], sock: socket.socket, *, seconds: float = PATIENCE) -> None:
        self._read, self._sock, self._left = read, sock, seconds

    def __call__(self, *args: Any, **options: Any) -> bytes:
        before, began = self._sock.gettimeout(), clock.monotonic()
        self._sock.settimeout(
            max(self._left, 0.001) if before is None else min(before, max(self._left, 0.001))
        )
        try:
            piece = self._read(*args, **options)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the sender is too slow") from None
        finally:
            self._sock.settimeout(before)
            self._left -= clock.monotonic() - began
        self._left = min(self._left + len(piece) / SLOWEST, MOST_PATIENCE)
        return piece


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's `gthread` worker with Patience for each connection."""

    wsgi: Callable[..., Any]

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = saying_when_it_closes(self.wsgi)

    def handle(self, conn: Any) -> Any:
        if not conn.initialized:
            conn.init = _impatient(conn)
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        req.body.read = blaming_the_sender(req.body.read)
        is_kept = super().handle_request(req, conn)
        if not _is_read(conn):
            say_goodbye(conn.sock)
            return False
        return is_kept


def _is_read(conn: Any) -> bool:
    """Has the whole body come? What little is left of one that was refused is waited for a moment."""
    try:
        return bool(conn.parser.finish_body(deadline=clock.monotonic() + DRAIN_SECONDS))
    except OSError:  # Patience speaks of a sender that went away
        return False


def say_goodbye(sock: socket.socket) -> None:
    """End a connection whose sender still sends a file that was refused, without waiting for the rest of it.

    The answer has left; gunicorn itself would wait, for seconds and in the one thread that accepts connections.
    """
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(DRAIN_SECONDS)
        sock.recv(DRAIN_BYTES)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RD)


def saying_when_it_closes(app: Callable[..., Any]) -> Callable[..., Any]:
    """Say `Connection: close` where much of a body is left unread, as of one that is refused for its size.

    gunicorn reads no more than DRAINED of it and then closes: a client told to keep the connection would send its
    next request into it and lose it.
    """

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        def start(*args: Any, **options: Any) -> Any:
            reader = getattr(environ["wsgi.input"], "reader", None)
            if getattr(reader, "length", 0) > DRAINED:
                start_response.__self__.force_close()
            return start_response(*args, **options)

        return app(environ, start)

    return serve


def blaming_the_sender(read: Callable[..., bytes]) -> Callable[..., bytes]:
    """Raise OSError, which ends as 400, where gunicorn finds chunks that cannot be told apart: else it is a 500."""

    def reading(*args: Any, **options: Any) -> bytes:
        try:
            return read(*args, **options)
        except ParseException as error:
            raise OSError(errno.EPROTO, str(error)) from None

    return reading


def _impatient(conn: Any) -> Callable[[], None]:
    def init() -> None:
        is_new = not conn.initialized
        type(conn).init(conn)
        unreader = getattr(conn.parser, "unreader", None)
        if is_new and unreader is not None:
            unreader.chunk = Patience(unreader.chunk, conn.sock)

    return init
