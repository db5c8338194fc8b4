"""RQ function of mail."""

from __future__ import annotations

import uuid

from app.services import mails
from jobs.runtime import app


def send_mail(mail_id: str, fence: int) -> None:
    """Send one mail that was written down."""
    with app().app_context():
        mails.send(uuid.UUID(mail_id), fence)
