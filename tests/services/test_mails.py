from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import time_machine
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask
from sqlalchemy import select

from app import clock, create_app
from app.exceptions import ServiceUnavailableError
from app.extensions import db
from app.models import Mail
from app.services import dispatch, mails
from tests.conftest import SettingsMaker
from tests.database import dispose


class Mailbox:
    """What a mail server does with a mail: keep it, or answer `refusal`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusal = ""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        parsed = message_from_bytes(bytes(envelope.content or b""), policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 OK"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(mailbox: Mailbox) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"smtp+plain://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def mailing(make_settings: SettingsMaker, server: str) -> Iterator[Flask]:
    app = create_app(make_settings(smtp_url=server, mail_from="scheduler@example.org"))
    with app.app_context():
        yield app
    dispose(app)


def post(**facts: Any) -> None:
    mails.post("password_reset", to="ada@example.com", facts={"token": "the-token", "minutes": 60} | facts)
    db.session.commit()


def send_due() -> None:
    """Do as the dispatcher and a worker do."""
    work = next(work for work in dispatch.WORK if work.model is Mail)
    for _task, (mail_id, fence) in dispatch.claim(work, clock.now()):
        mails.send(uuid.UUID(mail_id), fence)


def left() -> list[Mail]:
    return list(db.session.scalars(select(Mail).execution_options(populate_existing=True)))


@pytest.mark.usefixtures("mailing")
def test_a_mail_is_sent_once_and_forgotten(mailbox: Mailbox) -> None:
    post()

    send_due()
    send_due()

    (mail,) = mailbox.mails
    assert (mail["To"], mail["From"]) == ("ada@example.com", "scheduler@example.org")
    assert "/reset-password?token=the-token" in mail.get_content()
    assert left() == []


@pytest.mark.usefixtures("mailing")
def test_its_token_is_stored_sealed() -> None:
    post()

    (mail,) = left()

    assert "the-token" not in str(vars(mail))


@pytest.mark.usefixtures("mailing")
def test_a_server_that_is_busy_is_tried_again_later(mailbox: Mailbox) -> None:
    post()
    mailbox.refusal = "451 try again"
    send_due()
    mailbox.refusal = ""
    send_due()
    too_early = len(mailbox.mails)

    with time_machine.travel(clock.now() + timedelta(hours=1)):
        send_due()

    assert (too_early, len(mailbox.mails), left()) == (0, 1, [])


@pytest.mark.usefixtures("mailing")
def test_a_mail_refused_for_good_is_given_up(mailbox: Mailbox) -> None:
    post()
    mailbox.refusal = "550 no such mailbox"

    send_due()

    assert left() == []


@pytest.mark.usefixtures("mailing")
def test_a_worker_that_lost_its_claim_sends_nothing(mailbox: Mailbox) -> None:
    post()
    (mail,) = left()

    mails.send(mail.id, fence=99)

    assert mailbox.mails == []
    assert len(left()) == 1


def test_production_without_a_mail_server_says_so(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(app_env="production"))
    with app.app_context(), pytest.raises(ServiceUnavailableError, match="SMTP_URL"):
        mails.check_possible()
    dispose(app)
