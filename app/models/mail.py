"""A mail that is to be sent; the row ends when a mail server has taken it."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Noun, WorkMixin, work_index


class Mail(WorkMixin, Noun):
    """`kind` names its text; `facts_encrypted` (JSON) fills it in and may hold a token."""

    __tablename__ = "mails"
    __table_args__ = (work_index("mails"),)

    kind: Mapped[str]
    recipient: Mapped[str]
    facts_encrypted: Mapped[str]
    retries: Mapped[int] = mapped_column(default=0)
