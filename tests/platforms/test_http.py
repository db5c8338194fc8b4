from __future__ import annotations

import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from app.exceptions import StorageError
from app.platforms._transport import StreamBody
from app.platforms.http import MAX_ANSWER_BYTES, AnswerLost, Call, HttpClient, NotSent, Response
from tests.platforms.wire import (
    OK,
    Wire,
    answers,
    get,
    make_client,
    never_read,
    put,
    read_request,
    say_nothing,
    trickle,
    trickle_headers,
    wait_until,
    wire,
)

Seen = list[Call]


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def client(seen: Seen) -> HttpClient:
    return make_client(seen)


# -- answers


def test_an_answer_is_returned_whatever_its_status(client: HttpClient, seen: Seen) -> None:
    with wire(answers(b"HTTP/1.1 503 Down\r\nContent-Length: 2\r\nX-Say: hi\r\n\r\nno")) as server:
        answer = get(client, server.url)
    assert (answer.status, answer.body, answer.headers["x-say"]) == (503, b"no", "hi")
    assert [(call.operation, call.status, call.error) for call in seen] == [("ask", 503, None)]


def test_connections_are_kept_alive_by_thread(client: HttpClient) -> None:
    with wire(answers(OK, OK, OK)) as server:
        for _ in range(3):
            assert get(client, server.url).json() == {"a": "yes"}
        other = threading.Thread(target=get, args=(client, server.url))
        other.start()
        other.join()
        assert server.connections == 2


def test_a_forked_child_opens_its_own_connection(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(answers(OK, OK)) as server:
        get(client, server.url)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        get(client, server.url)
        assert server.connections == 2


def test_cookies_are_not_carried_from_one_account_to_the_next(client: HttpClient) -> None:
    reply = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=first; Path=/\r\n\r\n", 1)
    with wire(answers(reply, OK)) as server:
        get(client, server.url)
        get(client, server.url)
        assert b"cookie" not in server.requests[1].lower()


def test_the_request_id_goes_along_and_is_reported(seen: Seen) -> None:
    client = make_client(seen, request_id=lambda: "req-7")
    with wire(answers(OK)) as server:
        get(client, server.url)
        assert b"X-Request-Id: req-7\r\n" in server.requests[0]
    assert seen[0].request_id == "req-7"


@pytest.mark.parametrize("body", [b"[1]", b"{broken", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 100_000])
def test_a_body_that_is_no_json_object_is_a_typed_error(body: bytes) -> None:
    for kind in ("transient", "ambiguous"):
        answer = Response(200, {}, body, "somewhere", "ask", kind)  # type: ignore[arg-type]
        with pytest.raises(AnswerLost) as lost:
            answer.json()
        assert lost.value.kind == kind


def test_a_redirect_is_not_followed(client: HttpClient) -> None:
    reply = b"HTTP/1.1 307 Go\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n"
    with wire(answers(reply, reply)) as server:
        with pytest.raises(AnswerLost, match="redirect"):
            get(client, server.url)
        assert get(client, server.url, expect_redirect=True).status == 307
        assert len(server.requests) == 2


# -- what did not work


def test_nothing_is_sent_when_nobody_listens(client: HttpClient, seen: Seen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with pytest.raises(NotSent) as error:
        put(client, f"http://localhost:{port}/", b"x", commits=True)
    assert error.value.kind == "transient"
    assert [(call.status, call.error) for call in seen] == [(None, "NotSent")]


def test_nothing_is_sent_to_a_name_that_does_not_resolve(seen: Seen) -> None:
    client = make_client(seen, allowed_hosts=["nowhere.invalid"])
    with pytest.raises(NotSent):
        get(client, "https://nowhere.invalid/")


def drop(connection: socket.socket, found: Wire) -> None:
    found.requests.append(read_request(connection))


def cut_off(connection: socket.socket, found: Wire) -> None:
    found.requests.append(read_request(connection))
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"a": ')


def no_http(connection: socket.socket, found: Wire) -> None:
    found.requests.append(read_request(connection))
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")


def too_large(connection: socket.socket, found: Wire) -> None:
    found.requests.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (MAX_ANSWER_BYTES + 1))


def broken_chunks(connection: socket.socket, found: Wire) -> None:
    found.requests.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


@pytest.mark.parametrize("script", [drop, cut_off, no_http, too_large, broken_chunks])
def test_an_answer_that_cannot_be_read_is_lost_and_never_asked_for_twice(
    client: HttpClient, script: Callable[[socket.socket, Wire], None]
) -> None:
    with wire(script) as server:
        with pytest.raises(AnswerLost) as commit:
            put(client, server.url, b"x", commits=True)
        with pytest.raises(AnswerLost) as other:
            put(client, server.url, b"x")
        assert len(server.requests) == 2
    assert (commit.value.kind, other.value.kind) == ("ambiguous", "transient")


def test_errors_show_no_address_and_no_cause(client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with wire(drop) as server, pytest.raises(AnswerLost) as lost:
        get(client, server.url)
    assert (lost.value.__cause__, lost.value.__context__) == (None, None)
    assert "secret-in-url" not in repr(lost.value.to_dict()) + str(lost.value) + caplog.text


def test_a_failing_listener_does_not_lose_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_call: Call) -> None:
        raise RuntimeError("metrics are broken")

    client = make_client([], on_call=fail)
    with wire(answers(OK)) as server:
        assert get(client, server.url).status == 200
    assert "on_call failed" in caplog.text


# -- the deadline


@pytest.mark.parametrize("script", [trickle, trickle_headers, say_nothing, never_read])
def test_the_deadline_holds_against_slow_answers_and_slow_reading(
    client: HttpClient, seen: Seen, script: Callable[[socket.socket, Wire], None]
) -> None:
    with wire(script) as server:
        started = time.monotonic()
        with pytest.raises(AnswerLost, match="timed out") as late:
            put(client, server.url, b"x" * 20_000_000, deadline=0.6, commits=True)
        spent = time.monotonic() - started
    assert 0.5 < spent < 3.0  # the machine may be busy; the answers would go on for ten seconds and more
    assert late.value.kind == "ambiguous"
    assert 0.5 < seen[0].duration <= spent


def test_a_slow_source_cannot_outlast_the_deadline(client: HttpClient) -> None:
    class Slow(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            time.sleep(0.2)
            return super().read(1000)

    with wire(answers(OK)) as server, pytest.raises(AnswerLost, match="timed out"):
        put(client, server.url, StreamBody(Slow(b"x" * 100_000), 100_000), deadline=0.5)


def test_a_spent_deadline_sends_nothing(client: HttpClient) -> None:
    with wire(answers(OK)) as server:
        line = client.warm(server.url)
        with pytest.raises(NotSent):
            put(client, server.url, b"x", deadline=0.0, line=line, commits=True)
        assert server.requests == []


# -- bodies


@pytest.mark.parametrize("size", [0, 1, 131_072, 300_001])
def test_a_stream_goes_out_with_its_length_and_whole(client: HttpClient, size: int) -> None:
    data = os.urandom(size)
    with wire(answers(OK)) as server:
        put(client, server.url, StreamBody(io.BytesIO(data + b"more"), size))
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert f"content-length: {size}".encode() in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert body == data


def test_a_source_that_ends_early_cuts_the_request_off(client: HttpClient) -> None:
    def read(connection: socket.socket, found: Wire) -> None:
        found.requests.append(read_request(connection))
        found.done.set()

    with wire(read) as server:
        with pytest.raises(StorageError):
            put(client, server.url, StreamBody(io.BytesIO(b"short"), 100))
        assert server.done.wait(5)
        assert server.requests[0].endswith(b"\r\n\r\nshort")


# -- connections opened ahead


def test_a_line_opened_ahead_serves_the_call_from_any_thread(client: HttpClient) -> None:
    with wire(answers(OK)) as server:
        line = client.warm(server.url)
        wait_until(lambda: server.connections == 1)
        sender = threading.Thread(target=put, args=(client, server.url, b"x"), kwargs={"line": line})
        sender.start()
        sender.join()
        assert (server.connections, len(server.requests)) == (1, 1)


def test_a_line_the_server_closed_meanwhile_is_opened_anew(client: HttpClient) -> None:
    def close_first(connection: socket.socket, found: Wire) -> None:
        if found.connections > 1:
            answers(OK)(connection, found)

    with wire(close_first) as server:
        line = client.warm(server.url)
        time.sleep(0.1)
        assert put(client, server.url, b"x", line=line, commits=True).status == 200
        assert server.connections == 2


def test_a_line_grown_old_is_replaced(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.platforms.http.LINE_FRESH_SECONDS", 0.0)
    with wire(answers(OK)) as server:
        line = client.warm(server.url)
        put(client, server.url, b"x", line=line)
        assert server.connections == 2


def test_a_line_that_cannot_be_opened_is_reported_and_left_to_the_call(
    client: HttpClient, seen: Seen
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://localhost:{reserved.getsockname()[1]}/"
    line = client.warm(url)
    assert [(call.operation, call.error) for call in seen] == [("connect", "NotSent")]
    with pytest.raises(NotSent):
        put(client, url, b"x", line=line)
