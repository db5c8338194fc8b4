"""The outbox: what changed, written in the transaction of the change. Everything that tells anyone reads it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol, TypedDict

from sqlalchemy import BigInteger, Index, Integer, insert
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db
from app.models.base import Json, JsonObject, UtcDateTime


class _TargetRef(Protocol):
    @property
    def id(self) -> uuid.UUID: ...
    @property
    def post_id(self) -> uuid.UUID: ...
    @property
    def workspace_id(self) -> uuid.UUID: ...


class EventData(TypedDict, total=False):
    """What an event says besides whom it concerns: few of these, by its type. Ids and times are texts, as in JSON."""

    changed: list[str]
    ends_at: str
    host: str
    kind: str
    message: str
    platform: str
    platform_code: str
    reason: str
    role: str
    status: str
    targets: int
    video_id: str


class Event(Model):
    """`seq` is the reader's cursor; `type` is noun.change, e.g. target.published."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "workspace_id", "seq"), Index(None, "post_id", "seq"))

    seq: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    workspace_id: Mapped[uuid.UUID]
    type: Mapped[str]
    post_id: Mapped[uuid.UUID | None] = mapped_column(default=None)
    target_id: Mapped[uuid.UUID | None] = mapped_column(default=None)
    subject_id: Mapped[uuid.UUID | None] = mapped_column(default=None)
    data: Mapped[JsonObject] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    @classmethod
    def record(
        cls, type_: str, *, workspace_id: uuid.UUID, data: EventData | None = None, **columns: Any
    ) -> None:
        """Add one event to the caller's transaction."""
        db.session.add(cls(type=type_, workspace_id=workspace_id, data=dict(data or {}), **columns))

    @classmethod
    def record_many(cls, type_: str, targets: Iterable[_TargetRef]) -> None:
        """Add the same event for each target to the caller's transaction."""
        now = clock.now()
        rows = [
            {
                "type": type_,
                "workspace_id": ref.workspace_id,
                "post_id": ref.post_id,
                "target_id": ref.id,
                "subject_id": ref.id,
                "data": {},
                "created_at": now,
            }
            for ref in targets
        ]
        if rows:
            db.session.execute(insert(cls), rows)
