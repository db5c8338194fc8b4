from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import InvalidChunkSize  # type: ignore[import-untyped]

from jobs.web import SLOWEST, Patience, blaming_the_sender


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
