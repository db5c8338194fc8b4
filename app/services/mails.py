"""Mail: written down in the transaction of what it tells, sent by a worker, once a mail server takes it.

Without SMTP_URL a development installation prints its mails where its workers print; a production one says
that it cannot mail.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
import uuid
from collections.abc import Mapping
from datetime import timedelta
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from flask import render_template
from sqlalchemy import delete, select

from app import clock
from app.domain.retry import backoff
from app.exceptions import ServiceUnavailableError
from app.extensions import db, key_ring, settings
from app.logging_config import get_logger
from app.models import Mail
from app.models.base import JsonObject, new_id
from app.services import leases

logger = get_logger(__name__)
SUBJECTS = {
    "invitation": "You are invited to a workspace",
    "password_reset": "Choose a new password",
    "webhook_disabled": "A webhook was switched off",
}
TIMEOUT = 20.0  # seconds for each answer of the mail server
MAX_RETRIES = 12  # with a pause of up to an hour: about a working day
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


def is_possible() -> bool:
    """Can this installation mail? In development it prints what it would send."""
    return bool(settings().smtp_url) or not settings().is_production


def check_possible() -> None:
    """Raise ServiceUnavailableError when this installation cannot mail."""
    if not is_possible():
        raise ServiceUnavailableError(
            "This installation sends no mail (SMTP_URL is not set). Ask whoever runs it."
        )


def post(kind: str, *, to: str, facts: Mapping[str, str | int]) -> None:
    """Write a mail down, in the caller's transaction. `facts` fill in its text."""
    id_ = new_id()
    sealed = key_ring().encrypt(json.dumps(dict(facts)), context=_place(id_))
    db.session.add(Mail(id=id_, kind=kind, recipient=to, facts_encrypted=sealed, next_at=clock.now()))


def send(mail_id: uuid.UUID, fence: int) -> None:
    """Send one mail and forget it. A mail server that is away is tried again, for about a working day."""
    mail = db.session.scalar(select(Mail).where(Mail.id == mail_id, Mail.fence == fence))
    db.session.commit()
    if mail is None or not leases.begin(Mail, mail_id, fence):
        return
    try:
        _deliver(_message(mail))
    except (OSError, smtplib.SMTPException, ServiceUnavailableError) as trouble:
        _try_again(mail, fence, trouble)
        return
    _forget(mail_id, fence)
    logger.info("a mail was sent", extra={"kind": mail.kind})


def give_up(mail_id: uuid.UUID, fence: int) -> None:
    """End a mail that killed three workers. Commits."""
    _forget(mail_id, fence)


def _forget(mail_id: uuid.UUID, fence: int) -> None:
    db.session.execute(delete(Mail).where(Mail.id == mail_id, Mail.fence == fence))
    db.session.commit()


def _try_again(mail: Mail, fence: int, trouble: Exception) -> None:
    """Being refused itself, for good, and too many tries end a mail; everything else passes or is mended."""
    code = getattr(trouble, "smtp_code", 0)
    logger.warning("a mail could not be sent: %s", type(trouble).__name__, extra={"smtp_code": code})
    if _is_final(trouble) or mail.retries >= MAX_RETRIES:
        _forget(mail.id, fence)
        return
    pause = backoff(mail.retries + 1, first=30, ceiling=timedelta(hours=1).total_seconds())
    values = {"next_at": clock.now() + pause, "lease_until": None, "attempts": 0, "retries": mail.retries + 1}
    leases.write(Mail, mail.id, fence, **values)
    db.session.commit()


def _is_final(trouble: Exception) -> bool:
    """Were the recipient or the text refused for good (5xx)? A refused login or sender is the operator's to mend."""
    codes: list[int] = []
    if isinstance(trouble, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in trouble.recipients.values()]
    elif isinstance(trouble, smtplib.SMTPDataError):
        codes = [trouble.smtp_code]
    return any(500 <= code < 600 for code in codes)


def _message(mail: Mail) -> EmailMessage:
    facts: JsonObject = json.loads(key_ring().decrypt(mail.facts_encrypted, context=_place(mail.id)))
    message = EmailMessage()
    message["Subject"] = SUBJECTS[mail.kind]
    message["From"] = settings().mail_from
    message["To"] = mail.recipient
    message["Message-ID"] = (
        f"<{mail.id}@{urlsplit(settings().public_url).hostname}>"  # the same if sent twice
    )
    message["Date"] = mail.created_at
    url = settings().public_url.rstrip("/")
    message.set_content(render_template(f"mail/{mail.kind}.txt", url=url, **facts))
    return message


def _deliver(message: EmailMessage) -> None:
    if not settings().smtp_url:
        check_possible()  # a mail written down before SMTP_URL was taken out is not for a production's log
        sys.stderr.write(f"\n----- mail (SMTP_URL is not set) -----\n{message}\n-----\n")
        return
    address = urlsplit(settings().smtp_url)
    host, port = address.hostname or "localhost", address.port or PORTS[address.scheme]
    context = ssl.create_default_context()
    if address.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT)
    with server:
        if address.scheme == "smtp":
            server.starttls(context=context)
        if address.username:
            server.login(unquote(address.username), unquote(address.password or ""))
        server.send_message(message)


def _place(mail_id: uuid.UUID) -> str:
    return f"mails:facts:{mail_id}"
