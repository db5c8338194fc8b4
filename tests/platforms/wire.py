"""A server that answers bytes exactly as told, as badly as a test wants, and remembers what it got."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.platforms.http import Call, HttpClient, Response

Script = Callable[[socket.socket, "Wire"], None]
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"a": "yes"}'


@dataclass
class Wire:
    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/call?token=secret-in-url"


def read_request(connection: socket.socket) -> bytes:
    """Return one whole request, or what came of it before the client closed."""
    got = b""
    while b"\r\n\r\n" not in got:
        block = connection.recv(65536)
        if not block:
            return got
        got += block
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length and (block := connection.recv(65536)):
        body += block
    return head + b"\r\n\r\n" + body


def answers(*replies: bytes) -> Script:
    """Read a request and send a reply, for each reply, then close."""

    def script(connection: socket.socket, wire: Wire) -> None:
        for reply in replies:
            request = read_request(connection)
            if not request:
                return
            wire.requests.append(request)
            connection.sendall(reply)

    return script


@contextmanager
def wire(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """Serve each connection by the script, in a thread of its own, on a port of the system's choice."""
    listener = socket.create_server(("127.0.0.1", 0))
    found = Wire(listener.getsockname()[1], "https" if tls else "http")
    threads: list[threading.Thread] = []
    lines: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            with connection, tls.wrap_socket(connection, server_side=True) if tls else connection as line:
                lines.append(line)
                script(line, found)
        except OSError:
            return  # the client went away, which is what some tests are about

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            found.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield found
    finally:
        found.done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for line in lines:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


# -- servers that take their time


def trickle(connection: socket.socket, found: Wire) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not found.done.wait(0.05):
        connection.sendall(b" ")


def trickle_headers(connection: socket.socket, found: Wire) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not found.done.wait(0.05):
        connection.sendall(b"a")


def say_nothing(connection: socket.socket, found: Wire) -> None:
    read_request(connection)
    found.done.wait(10)


def never_read(connection: socket.socket, found: Wire) -> None:
    found.done.wait(10)


# -- clients


def make_client(seen: list[Call], **changes: Any) -> HttpClient:
    options: dict[str, Any] = {
        "user_agent": "test",
        "allowed_hosts": ["localhost"],
        "allow_http": True,
        "on_call": seen.append,
    }
    return HttpClient("somewhere", **options | changes)


def get(client: HttpClient, url: str, **changes: Any) -> Response:
    return client.request("GET", url, **{"operation": "ask", "deadline": 5.0} | changes)


def put(client: HttpClient, url: str, body: Any, **changes: Any) -> Response:
    return client.request("PUT", url, **{"operation": "send", "deadline": 5.0, "body": body} | changes)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)
