"""The ledger: a row before each dealing with a platform, completed once, never deleted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, update
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import db
from app.models.base import Json, JsonObject, Noun, UtcDateTime, write_each


class Attempt(Noun):
    """One try of one step under one fence. `operation`: stage, preflight, commit, locate, watch, remove,
    `step.<kind>`, and `step.<kind>.locate` for asking whether it was done.

    `outcome` None: never completed, the worker died or its answer never came. `details` holds request ids
    and the platform's own log ids.
    """

    __tablename__ = "attempts"
    __table_args__ = (Index(None, "target_id", "id"),)

    workspace_id: Mapped[uuid.UUID]
    target_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"))
    step_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("steps.id"), default=None)
    operation: Mapped[str]
    fence: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    called_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    outcome: Mapped[str | None] = mapped_column(default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    details: Mapped[JsonObject] = mapped_column(Json, default=dict)

    @classmethod
    def complete(cls, attempt_id: uuid.UUID, *, outcome: str, **values: Any) -> bool:
        """Complete the attempt once; return False when it already was."""
        found = db.session.execute(
            update(cls)
            .where(cls.id == attempt_id, cls.completed_at.is_(None))
            .values(outcome=outcome, completed_at=clock.now(), **values)
            .execution_options(synchronize_session=False)
        )
        return bool(found.rowcount)  # type: ignore[attr-defined]

    @classmethod
    def complete_many(cls, rows: Mapping[uuid.UUID, Mapping[str, Any]]) -> None:
        """Complete attempts by their ids, each with its own `outcome` and more, in one round trip."""
        now = clock.now()
        done = {id_: {**columns, "completed_at": now, "updated_at": now} for id_, columns in rows.items()}
        write_each(cls, done, cls.completed_at.is_(None))
