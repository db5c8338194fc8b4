"""What follows a published target: first comment, thumbnail, figures. Its failure never changes the target."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, UniqueConstraint, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import db
from app.models.base import Json, JsonObject, Owned, UtcDateTime, WorkMixin, work_index

FIGURES = "figures"  # the kind that collects a post's figures, again and again; people are not shown it
OPEN = ("waiting", "doing")


class Step(WorkMixin, Owned):
    """`state`: waiting, doing (its intent is written), done, failed, unknown, cancelled (the post is gone).

    The one that collects figures is `recurring` until its post is too old.
    """

    __tablename__ = "steps"
    __table_args__ = (UniqueConstraint("target_id", "kind"), work_index("steps"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    target_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting")
    payload: Mapped[JsonObject] = mapped_column(Json, default=dict)
    retries: Mapped[int] = mapped_column(default=0)
    result: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    intent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)

    @classmethod
    def plan(cls, rows: Sequence[JsonObject]) -> None:
        """Add steps in the caller's transaction; a target's step of the same kind stays as it is."""
        if rows:
            dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(cls).values(list(rows))
            unique = [cls.target_id, cls.kind]
            db.session.execute(statement.on_conflict_do_nothing(index_elements=unique))

    @classmethod
    def wake(cls, target_id: uuid.UUID) -> None:
        """Let a target's waiting steps be looked at now, in the caller's transaction."""
        cls._write(cls.target_id == target_id, cls.state == "waiting", cls.lease_until.is_(None))

    @classmethod
    def stop(cls, target_id: uuid.UUID) -> None:
        """End what is not done of a target that is gone, in the caller's transaction; whoever does it loses it."""
        columns = {"state": "cancelled", "next_at": None, "lease_until": None, "fence": cls.fence + 1}
        cls._write(cls.target_id == target_id, cls.state.in_((*OPEN, "recurring")), **columns)

    @classmethod
    def doubt_open(cls) -> None:
        """Have every open step asked about before it is done, in the caller's transaction.

        For a restored database, which may have forgotten what it did.
        """
        cls._write(cls.state == "waiting", state="doing", intent_at=clock.now())

    @classmethod
    def _write(cls, *where: ColumnElement[bool], **values: Any) -> None:
        columns = {"next_at": clock.now(), "updated_at": clock.now()} | values
        db.session.execute(
            update(cls).where(*where).values(**columns).execution_options(synchronize_session=False)
        )
