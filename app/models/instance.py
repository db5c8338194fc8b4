"""Who this database is, and how far it has come: a restored or cloned one must not publish again."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Noun


class Instance(Noun):
    """One row. `generation` rises whenever targets are claimed for publishing; a copy of both is kept in
    storage, and a database that is behind its copy was restored from an older snapshot."""

    __tablename__ = "instance"

    generation: Mapped[int] = mapped_column(BigInteger, default=0)
    is_only: Mapped[bool] = mapped_column(default=True, unique=True)  # a second row is refused
