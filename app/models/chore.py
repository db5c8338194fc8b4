"""The timetable: what is to be done again and again, a row for each entry."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped

from app.models.base import Noun, WorkMixin, work_index


class Chore(WorkMixin, Noun):
    """An entry of the timetable (services/timetable). `next_at`: when it is due next."""

    __tablename__ = "chores"
    __table_args__ = (UniqueConstraint("name"), work_index("chores"))

    name: Mapped[str]
