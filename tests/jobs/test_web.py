from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.http import parser
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import InvalidChunkSize  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader

from jobs.web import DRAINED, SLOWEST, Patience, blaming_the_sender, saying_when_it_closes


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_who_drips_is_given_up_though_each_byte_comes_soon(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    read, ended = Patience(lambda: ours.recv(10), ours, seconds=0.3), threading.Event()

    def drip() -> None:
        while not ended.wait(0.05):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(ConnectionResetError):
            while True:
                read()
    finally:
        ended.set()
        thread.join()
    assert time.monotonic() - began < 5


def test_bytes_that_came_earn_patience(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    read = Patience(lambda: ours.recv(SLOWEST), ours, seconds=0.05)
    theirs.sendall(b"x" * SLOWEST)
    received = 0
    while received < SLOWEST:
        received += len(read())

    threading.Timer(0.2, theirs.sendall, [b"later"]).start()

    assert read() == b"later"


def test_the_sockets_own_timeout_is_given_back(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")

    Patience(lambda: ours.recv(1), ours)()

    assert ours.gettimeout() is None


def test_chunks_that_cannot_be_told_apart_are_a_broken_connection() -> None:
    def read(_size: int) -> bytes:
        raise InvalidChunkSize(b"zz")

    with pytest.raises(OSError, match="chunk size"):
        blaming_the_sender(read)(10)


class Answer:
    """gunicorn's response, as far as it is asked."""

    closes = False

    def force_close(self) -> None:
        self.closes = True

    def start_response(self, status: str, _headers: list[tuple[str, str]]) -> None:
        self.status = status


@pytest.mark.parametrize(("size", "read", "closes"), [
    (10 * DRAINED, 0, True), (10 * DRAINED, 10 * DRAINED, False), (DRAINED, 0, False), (0, 0, False),
])  # fmt: skip
def test_a_connection_that_will_close_over_an_unread_body_says_so(
    size: int, read: int, *, closes: bool
) -> None:
    body, answer = Body(LengthReader(IterUnreader([b"x" * size]), size)), Answer()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(read)
        start_response("413 TOO LARGE", [])
        return [b""]

    saying_when_it_closes(app)({"wsgi.input": body}, answer.start_response)

    assert (answer.status, answer.closes) == ("413 TOO LARGE", closes)


def test_gunicorn_still_reads_as_much_of_a_body_nobody_wants() -> None:
    assert parser._DRAIN_MAX_BYTES == DRAINED
