"""No address a user gives leads into our own machine or network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from flask import Flask

from app.config import Settings
from app.exceptions import ValidationError
from app.services import outgoing

INSIDE = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "0x7f.1", "0x7f000001", "2130706433",
    "017700000001", "0177.0.0.1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.1.254", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.0.8",
    "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "192.88.99.1", "[3fff::1]", "[5f00::1]", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "3232235777", "0xC0A80101", "0300.0250.0.1", "2852039166", "0xA9FEA9FE",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::7f00:1]", "[fe80::1]", "[fe80::1%25lo]",
    "[fec0::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[2001:db8::1]", "[2002:7f00:1::]",
    "[2002:a00:1::]", "[2002:c0a8:101::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a00:1]",
    "[2001:0:7f00:1::]", "[2001:0:4136:e378:8000:63bf:f5ff:fffe]", "[100::1]", "[2001:10::1]", "localhost",
    "localhost.", "LOCALHOST", "ip6-localhost",
]  # fmt: skip
MISSHAPEN = [
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com", "example.com",
    "http:///path", "http://user@example.com/", "http://user:pass@example.com/", "http://example.com#frag",
    "http://exa mple.com/", "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/",
    "http://example.com:0/", "http://example.com:99999/", "http://example.com:port/", "http://[::1", "http://",
    "javascript:alert(1)", "http://ex\u00e4mple.com/", "http://\u2460\u2461.com/", "http://127。0。0。1/",
    "http://example.com/\r\nHost: x", "http://a\x00b.com/", "https://" + "a" * 3000 + ".com/", "http://.../", "",
]  # fmt: skip


def app_with(**settings: Any) -> Flask:
    """An application with nothing but settings: what is looked at here needs no more."""
    app = Flask(__name__)
    app.extensions["settings"] = Settings(**settings)
    return app


@pytest.fixture
def strict() -> Iterator[Flask]:
    app = app_with()
    with app.app_context():
        yield app


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address a socket was asked to connect to; none is really connected."""
    seen: list[Any] = []

    def connect(_socket: socket.socket, address: Any) -> None:
        seen.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


def test_there_are_eighty_vectors() -> None:
    assert len({*INSIDE, *MISSHAPEN}) >= 80


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("host", INSIDE)
def test_a_host_inside_is_refused_and_never_connected(host: str, connected: list[Any]) -> None:
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}:8080/hook"
        with pytest.raises(ValidationError):
            outgoing.check_url(url)
        answer = outgoing.post(url, body=b"{}", headers={}, seconds=2)
        assert (answer.status, answer.is_success) == (None, False)
    assert connected == []


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("url", MISSHAPEN)
def test_what_is_no_plain_web_address_is_refused(url: str, connected: list[Any]) -> None:
    with pytest.raises(ValidationError):
        outgoing.check_url(url)
    assert outgoing.post(url, body=b"{}", headers={}, seconds=2).status is None
    assert connected == []


def answers(*addresses: str) -> Any:
    def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


@pytest.mark.usefixtures("strict")
def test_one_inner_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("93.184.216.34", "10.0.0.1"))

    answer = outgoing.post("http://example.com/", body=b"", headers={}, seconds=2)

    assert answer.error == "This host is not a public one."
    assert connected == []


@pytest.mark.usefixtures("strict")
def test_a_name_that_changes_between_look_and_call_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    looks = iter([("93.184.216.34",), ("127.0.0.1",)])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answers(*next(looks))(*a, **k))

    outgoing.check_url("http://example.com/")
    outgoing.post("http://example.com/", body=b"", headers={}, seconds=2)

    assert connected == []


@pytest.mark.usefixtures("strict")
def test_a_public_host_is_connected_at_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if host == "example.com":
            return answers("93.184.216.34")(host, port)
        assert host == "93.184.216.34", "asked again by name"
        return real(host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    outgoing.post("https://example.com/hook", body=b"", headers={}, seconds=2)

    assert connected == [("93.184.216.34", 443)]


class _Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        elif self.path == "/elsewhere":
            raise AssertionError("followed a redirect")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as httpd:
        thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_an_operator_may_allow_a_network_and_redirects_are_not_followed(server: str) -> None:
    with app_with(outgoing_networks=("127.0.0.0/8",)).app_context():
        outgoing.check_url(server)
        plain = outgoing.post(f"{server}/hook?x=1", body=b"{}", headers={}, seconds=5)
        redirected = outgoing.post(f"{server}/redirect", body=b"{}", headers={}, seconds=5)

    assert (plain.status, plain.is_success) == (200, True)
    assert (redirected.status, redirected.is_success) == (302, False)
