"""The same over TLS, with a certificate of our own."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.platforms.http import AnswerLost, Call, HttpClient, NotSent
from tests.platforms.wire import (
    OK,
    Wire,
    answers,
    make_client,
    never_read,
    put,
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost, signed by itself, and a server's context with it."""
    folder = tmp_path_factory.mktemp("tls")
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]),
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(encoding))
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_over_tls_a_line_opened_ahead_saves_the_handshake(
    seen: Seen, authority: tuple[Path, ssl.SSLContext]
) -> None:
    client = make_client(seen, ca_file=str(authority[0]))
    with wire(answers(OK), tls=authority[1]) as server:
        line = client.warm(server.url)
        wait_until(lambda: server.connections == 1)
        assert put(client, server.url, b"x" * 1_000_000, line=line, commits=True).status == 200
        assert server.connections == 1
        assert server.requests[0].endswith(b"x" * 1_000_000)


def test_over_tls_a_line_the_server_closed_meanwhile_is_opened_anew(
    seen: Seen, authority: tuple[Path, ssl.SSLContext]
) -> None:
    def close_first(connection: socket.socket, found: Wire) -> None:
        if found.connections > 1:
            answers(OK)(connection, found)

    client = make_client(seen, ca_file=str(authority[0]))
    with wire(close_first, tls=authority[1]) as server:
        line = client.warm(server.url)
        time.sleep(0.1)
        assert put(client, server.url, b"x", line=line, commits=True).status == 200


@pytest.mark.parametrize("script", [trickle, trickle_headers, say_nothing, never_read])
def test_over_tls_the_deadline_holds_too(
    seen: Seen, authority: tuple[Path, ssl.SSLContext], script: Callable[[socket.socket, Wire], None]
) -> None:
    client = make_client(seen, ca_file=str(authority[0]))
    with wire(script, tls=authority[1]) as server:
        started = time.monotonic()
        with pytest.raises(AnswerLost, match="timed out"):
            put(client, server.url, b"x" * 20_000_000, deadline=0.6, commits=True)
        spent = time.monotonic() - started
    assert 0.5 < spent < 3.0


def test_an_unknown_authority_is_refused_before_anything_is_sent(
    client: HttpClient, authority: tuple[Path, ssl.SSLContext]
) -> None:
    with wire(answers(OK), tls=authority[1]) as server:
        with pytest.raises(NotSent):
            put(client, server.url, b"x", commits=True)
        assert server.requests == []
