"""A target: a post on one channel, with its own time, text and state. `move` is the only writer of `state`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    Select,
    UniqueConstraint,
    case,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column, relationship

from app import clock
from app.domain.target_state import BEFORE_INTENT, STATUS, State, may_move
from app.extensions import db
from app.models.base import (
    Json,
    JsonObject,
    Owned,
    UtcDateTime,
    WorkMixin,
    partial_index,
    work_index,
    write_each,
)
from app.models.event import Event
from app.models.holds import blocked
from app.models.post import Post
from app.models.step import FIGURES, Step


@dataclass(frozen=True)
class TargetRef:
    """A claimed target: its id, the fence the claim gave it, and where its change must be told."""

    id: uuid.UUID
    fence: int
    post_id: uuid.UUID
    workspace_id: uuid.UUID


MAY_BE_LATE = "state IN ('scheduled', 'staging', 'staged')"  # an index is only used in its own words
ATTENTION = "state = 'unknown' OR hold IS NOT NULL"  # what an operator looks at; see services/metrics.py
CUT_OFF = "hold = 'reconnect'"


class Target(WorkMixin, Owned):
    """`due_at` is the user's and never moved by the machine; `next_at` is the machine's next action."""

    __tablename__ = "targets"
    __table_args__ = (
        UniqueConstraint("post_id", "channel_id"),
        Index(None, "workspace_id", "id"),
        Index(None, "workspace_id", "due_at", "id"),
        Index(None, "workspace_id", "state", "due_at", "id"),
        Index(None, "channel_id", "state", "due_at", "id"),
        Index(None, "channel_id", "content_hash"),
        Index(None, "platform", "due_at"),
        Index(None, "video_id"),
        partial_index("ix_targets_rendition_id", "rendition_id", where="rendition_id IS NOT NULL"),
        work_index("targets", "next_at IS NOT NULL AND hold IS NULL"),
        partial_index("ix_targets_late", "late_until", where=MAY_BE_LATE),
        partial_index("ix_targets_attention", "state", "hold", where=ATTENTION),
        partial_index("ix_targets_cut_off", "workspace_id", "due_at", "id", where=CUT_OFF),
        partial_index("ix_targets_hold_until", "hold_until", where="hold_until IS NOT NULL"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    post_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    channel_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("channels.id"))
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id"))
    platform: Mapped[str]
    content_hash: Mapped[str]
    title: Mapped[str | None] = mapped_column(default=None)
    caption: Mapped[str | None] = mapped_column(default=None)
    options: Mapped[JsonObject] = mapped_column(Json, default=dict)
    fit: Mapped[JsonObject | None] = mapped_column(Json, default=None)  # see domain/wish; None: the post's
    # What goes out instead of the original. No foreign key: SQLite would have to make the table anew for it.
    rendition_id: Mapped[uuid.UUID | None] = mapped_column(default=None)

    state: Mapped[str] = mapped_column(default="draft")
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    own_time: Mapped[bool] = mapped_column(default=False)  # due_at was given for this target, not the post
    late_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    hold: Mapped[str | None] = mapped_column(default=None)
    hold_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    if_over_quota: Mapped[str] = mapped_column(default="fail")

    handle_encrypted: Mapped[str | None] = mapped_column(default=None)
    handle_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    preflighted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    is_slow_commit: Mapped[bool] = mapped_column(default=False)
    commit_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    retries: Mapped[int] = mapped_column(default=0)
    asked: Mapped[int] = mapped_column(default=0)

    committed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    remote_id: Mapped[str | None] = mapped_column(default=None)
    permalink: Mapped[str | None] = mapped_column(default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    stats: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    stats_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)

    post = relationship("Post", back_populates="targets", lazy="raise")
    channel = relationship("Channel", lazy="raise")
    video = relationship("Video", lazy="raise")
    rendition = relationship(
        "Rendition", primaryjoin="foreign(Target.rendition_id) == Rendition.id", lazy="raise", viewonly=True
    )
    steps = relationship(
        "Step",
        primaryjoin=lambda: (Target.id == Step.target_id) & (Step.kind != FIGURES),
        order_by=lambda: Step.kind,
        lazy="raise",
        viewonly=True,
    )

    warnings = cast("Sequence[JsonObject] | None", None)  # never stored; see services/warnings
    verdict = cast("JsonObject | None", None)  # never stored; see services/fits

    @property
    def version(self) -> int:
        """Return what If-Match is held against: the post's, which must be loaded."""
        return self.post.version  # type: ignore[no-any-return]

    @property
    def ref(self) -> TargetRef:
        return TargetRef(self.id, self.fence, self.post_id, self.workspace_id)

    @classmethod
    def move(
        cls, ref: TargetRef, *, before: Collection[State], after: State, fenced: bool = True, **values: Any
    ) -> bool:
        """Take one target from a state in `before` to `after`; return False when somebody else was first.

        Writes the state, the given columns, the post's status and an event, in the caller's transaction.
        `fenced`: the row must still carry the ref's fence; else it is raised, so that who works on it loses it.
        """
        return bool(cls.move_many([ref], before=before, after=after, fenced=fenced, **values))

    @classmethod
    def move_many(
        cls,
        refs: Sequence[TargetRef],
        *,
        before: Collection[State],
        after: State,
        fenced: bool = True,
        where: ColumnElement[bool] | None = None,
        **values: Any,
    ) -> set[uuid.UUID]:
        """Take many at once, as `move`, each if `where` still holds of it; return the ids of those moved."""
        assert all(may_move(state, after) for state in before), (before, after)
        if not refs:
            return set()
        public = {STATUS[state] for state in before} != {STATUS[after]}
        if public:
            Post.lock(ref.post_id for ref in refs)
        moved = cls._update(refs, before=before, after=after, fenced=fenced, where=where, values=values)
        if public and moved:
            touched = [ref for ref in refs if ref.id in moved]
            Post.refresh_status(ref.post_id for ref in touched)
            Event.record_many(f"target.{after}", touched)
        return moved

    @classmethod
    def move_each(
        cls,
        own: Mapping[TargetRef, Mapping[str, Any]],
        *,
        before: Collection[State],
        after: State,
        **values: Any,
    ) -> set[uuid.UUID]:
        """Take many targets at once, as `move_many`, each with columns of its own, the same ones for all."""
        moved = cls.move_many(list(own), before=before, after=after, **values)
        # Locked by the move just now, so the fence needs no second look.
        write_each(cls, {ref.id: columns for ref, columns in own.items() if ref.id in moved})
        return moved

    @classmethod
    def lock_many(cls, refs: Sequence[TargetRef], *, states: Collection[State]) -> set[uuid.UUID]:
        """Lock those, after their posts, that are still ours, in `states`, held by nothing; return their ids."""
        query = (
            select(cls.id)
            .where(cls._still_ours(refs), cls.state.in_(list(states)), cls.hold.is_(None))
            .order_by(cls.id)
            .with_for_update()
        )
        return set(db.session.scalars(query))

    @classmethod
    def _update(
        cls,
        refs: Sequence[TargetRef],
        *,
        before: Collection[State],
        after: State,
        fenced: bool,
        where: ColumnElement[bool] | None,
        values: Mapping[str, Any],
    ) -> set[uuid.UUID]:
        statement = (
            update(cls)
            .where(cls._in_order(refs), cls.state.in_(list(before)), true() if where is None else where)
            .values(state=after, updated_at=clock.now(), **values)
            .execution_options(synchronize_session=False)
        )
        if fenced:
            statement = statement.where(cls._still_ours(refs))
        else:
            statement = statement.values(fence=cls.fence + 1, lease_until=None, attempts=0)
        return set(db.session.scalars(statement.returning(cls.id)))

    @classmethod
    def _still_ours(cls, refs: Sequence[TargetRef]) -> ColumnElement[bool]:
        return tuple_(cls.id, cls.fence).in_([(ref.id, ref.fence) for ref in refs])

    @classmethod
    def _in_order(cls, refs: Sequence[TargetRef]) -> ColumnElement[bool]:
        """Match these rows, locking them in the order of their ids: two that lock many never wait in a ring."""
        if len(refs) == 1:
            return cls.id == refs[0].id
        return cls.id.in_(_locked(cls.id.in_([ref.id for ref in refs])))

    @classmethod
    def note(cls, ref: TargetRef, **values: Any) -> bool:
        """Write columns other than `state` under the fence; return False when the lease was lost."""
        assert "state" not in values
        found = db.session.execute(
            update(cls)
            .where(cls.id == ref.id, cls.fence == ref.fence)
            .values(updated_at=clock.now(), **values)
            .execution_options(synchronize_session=False)
        )
        return bool(found.rowcount)  # type: ignore[attr-defined]

    @classmethod
    def take_back(
        cls, refs: Sequence[TargetRef], *, states: Collection[State], **values: Any
    ) -> set[uuid.UUID]:
        """Write columns but `state` to targets in `states`, whose workers lose them; return the ids found."""
        assert "state" not in values
        statement = (
            update(cls)
            .where(cls._in_order(refs), cls.state.in_(list(states)))
            .values(fence=cls.fence + 1, lease_until=None, attempts=0, updated_at=clock.now(), **values)
            .returning(cls.id)
            .execution_options(synchronize_session=False)
        )
        return set(db.session.scalars(statement))

    @classmethod
    def count_starts(cls, refs: Sequence[TargetRef]) -> None:
        """Count a start of work on each, before it begins, in the caller's transaction."""
        if refs:
            db.session.execute(
                update(cls)
                .where(cls._in_order(refs), cls._still_ours(refs))
                .values(attempts=cls.attempts + 1)
                .execution_options(synchronize_session=False)
            )

    @classmethod
    def reckon_holds(cls, *where: Any) -> None:
        """Set `hold` of waiting targets that match to what stands in their way now, strongest first."""
        holds = blocked(cls, clock.now())
        db.session.execute(
            update(cls)
            .where(cls.id.in_(_locked(cls.state.in_(sorted(BEFORE_INTENT)), *where)))
            .values(hold=holds, hold_until=case((holds == "quota", cls.hold_until), else_=None))
            .execution_options(synchronize_session=False)
        )


def _its(column: InstrumentedAttribute[Any], id_: InstrumentedAttribute[uuid.UUID]) -> ScalarSelect[Any]:
    """Return a column of the row that a target points to by `id_`."""
    return select(column).where(column.class_.id == id_).scalar_subquery()


def _locked(*where: ColumnElement[bool]) -> Select[Any]:
    """Return the query of the ids of matching targets that locks them in order of their ids."""
    return select(Target.id).where(*where).order_by(Target.id).with_for_update().correlate(None)
