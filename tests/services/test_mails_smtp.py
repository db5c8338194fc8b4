"""Mails to real mail servers that ask for a login and encrypt, refuse, or do not encrypt; and to no server at all."""

from __future__ import annotations

import base64
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask

from app import clock, create_app
from app.logging_config import configure_logging
from tests.canaries import canary
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.services.test_mails import Mailbox, left, post, send_due

USER, PASSWORD = "scheduler@example.org", f"{canary('mail')}@/: %"  # what must be quoted in an address
HERE = "127.0.0.1"
IN_CLEAR = pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # that is what is tested
Mailing = Callable[..., Flask]


class Server(Controller):
    """A mail server that keeps all it hears, after decryption if there is any."""

    def __init__(self, mailbox: Mailbox, **options: Any) -> None:
        with socket.socket() as probe:
            probe.bind((HERE, 0))
            port = probe.getsockname()[1]
        super().__init__(mailbox, hostname=HERE, port=port, server_hostname="mail.test", **options)
        self.heard = b""

    def factory(self) -> SMTP:
        server = self

        class Hearing(SMTP):
            def data_received(self, data: bytes) -> None:
                server.heard += data
                super().data_received(data)

        return Hearing(self.handler, **self.SMTP_kwargs)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, made for the test, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HERE)])
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Have the certificate trusted, as an operator with a CA of their own does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def mailing(make_settings: SettingsMaker) -> Iterator[Mailing]:
    """Begin an app that mails through this address, and be in its context."""
    begun: list[tuple[Flask, Any]] = []

    def begin(smtp_url: str, **settings: Any) -> Flask:
        app = create_app(make_settings(smtp_url=smtp_url, mail_from=USER, **settings))
        configure_logging(app.extensions["settings"])
        context = app.app_context()
        context.push()
        begun.append((app, context))
        return app

    yield begin
    for app, context in begun:
        context.pop()
        dispose(app)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    logging.getLogger("mail.log").setLevel(
        logging.CRITICAL
    )  # what the server itself says is not the product's
    server.start()
    try:
        yield server
    finally:
        server.stop()


def asking_for_login(mailbox: Mailbox, **options: Any) -> Server:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        wanted = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=given == wanted, handled=False)

    return Server(mailbox, authenticator=check, auth_required=True, **options)


def address(server: Server, *, scheme: str = "smtp", password: str = PASSWORD) -> str:
    return f"{scheme}://{quote(USER, safe='')}:{quote(password, safe='')}@{HERE}:{server.port}"


def encodings(secret: str) -> list[str]:
    """Return a secret as it might stand somewhere: as it is, quoted, and as SMTP sends it."""
    plain = base64.b64encode(f"\0{USER}\0{secret}".encode()).decode()
    return [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), plain]


@pytest.mark.usefixtures("trusted")
def test_a_mail_goes_encrypted_behind_a_login(
    mailbox: Mailbox, tls: ssl.SSLContext, mailing: Mailing, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(asking_for_login(mailbox, tls_context=tls, require_starttls=True)) as server:
        mailing(address(server))
        post()
        send_due()

    (mail,) = mailbox.mails
    assert (mail["To"], mail["From"]) == ("ada@example.com", USER)
    assert left() == []
    assert server.heard.index(b"STARTTLS") < server.heard.index(b"AUTH")
    printed = "".join(capsys.readouterr())
    assert "a mail was sent" in printed
    assert [each for each in (*encodings(PASSWORD), "the-token") if each in printed] == []


@IN_CLEAR
@pytest.mark.usefixtures("trusted")
def test_a_mail_goes_to_a_server_that_is_encrypted_from_the_first_byte(
    mailbox: Mailbox, tls: ssl.SSLContext, mailing: Mailing
) -> None:
    with serving(asking_for_login(mailbox, ssl_context=tls, auth_require_tls=False)) as server:
        mailing(address(server, scheme="smtps"))
        post()
        send_due()

    assert (len(mailbox.mails), left()) == (1, [])


@pytest.mark.usefixtures("trusted")
def test_a_refused_login_is_tried_again_and_its_password_told_to_nobody(
    mailbox: Mailbox, tls: ssl.SSLContext, mailing: Mailing, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = f"{canary('wrong')} %/@"
    with serving(asking_for_login(mailbox, tls_context=tls, require_starttls=True)) as server:
        mailing(address(server, password=wrong))
        post()
        send_due()
        tries = [mail.retries for mail in left()]
        with time_machine.travel(clock.now() + timedelta(hours=1)):
            send_due()

    assert (mailbox.mails, tries, [mail.retries for mail in left()]) == ([], [1], [2])
    printed = "".join(capsys.readouterr())
    assert "SMTPAuthenticationError" in printed and "535" in printed
    assert [each for each in encodings(wrong) if each in printed] == []


@IN_CLEAR
def test_a_server_that_does_not_encrypt_hears_neither_login_nor_mail(
    mailbox: Mailbox, mailing: Mailing, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(asking_for_login(mailbox, auth_require_tls=False)) as server:
        mailing(address(server))
        post()
        send_due()

    said = {line.partition(b" ")[0].upper() for line in server.heard.splitlines()}
    assert said == {b"EHLO", b"QUIT"}
    assert [mail.retries for mail in left()] == [1]
    assert "SMTPNotSupportedError" in "".join(capsys.readouterr())


def test_a_server_with_a_certificate_nobody_vouches_for_hears_neither_login_nor_mail(
    mailbox: Mailbox, tls: ssl.SSLContext, mailing: Mailing
) -> None:
    with serving(asking_for_login(mailbox, tls_context=tls, require_starttls=True)) as server:
        mailing(address(server))
        post()
        send_due()

    assert mailbox.mails == [] and b"AUTH" not in server.heard
    assert [mail.retries for mail in left()] == [1]


@pytest.mark.parametrize(("reply", "is_kept"), [("550 5.1.1 no such user", False), ("450 4.2.1 later", True)])
def test_a_recipient_who_is_refused_for_good_ends_a_mail(
    mailbox: Mailbox, mailing: Mailing, *, reply: str, is_kept: bool
) -> None:
    async def handle_rcpt(*_: Any) -> str:
        return reply

    mailbox.handle_RCPT = handle_rcpt  # type: ignore[attr-defined]
    with serving(Server(mailbox)) as server:
        mailing(f"smtp+plain://{HERE}:{server.port}")
        post()
        send_due()

    assert bool(left()) == is_kept


# -- without a server


@pytest.mark.shows_secrets("a development installation prints its mails")
def test_without_a_server_a_development_installation_prints_its_mails(
    mailing: Mailing, capsys: pytest.CaptureFixture[str]
) -> None:
    mailing("")
    post()
    send_due()

    printed = capsys.readouterr().err
    assert "To: ada@example.com" in printed and "/reset-password?token=the-token" in printed
    assert left() == []


def test_a_production_installation_whose_server_was_taken_away_prints_nothing_and_keeps_the_mail(
    mailing: Mailing, capsys: pytest.CaptureFixture[str]
) -> None:
    mailing("", app_env="production")
    post()
    send_due()

    assert "the-token" not in "".join(capsys.readouterr())
    assert [mail.retries for mail in left()] == [1]
