"""The worklist: targets by the time they are due, whatever the filter, as quick with a million as with ten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, func, select
from sqlalchemy import text as sql

from app.domain.principal import Principal
from app.domain.target_state import STATUS, WAITING, State
from app.extensions import db
from app.models import Channel, Target
from app.models.page import Page, paginate
from app.models.target import CUT_OFF
from app.services.targets import WHOLE

NEEDS_A_PERSON: tuple[State, ...] = ("unknown", "awaiting_user", "failed", "missed")
ELSEWHERE = sorted(set(STATUS) - WAITING)
Condition = ColumnElement[bool]


def list_targets(
    principal: Principal,
    *,
    limit: int,
    cursor: str | None = None,
    status: str | None = None,
    channel_id: uuid.UUID | None = None,
    due_from: datetime | None = None,
    due_to: datetime | None = None,
    needs_action: bool | None = None,
    sort: str = "due_at",
) -> Page[Target]:
    """Return the workspace's targets by the time they are due; drafts without a time last.

    `due_to` is exclusive. `needs_action`: only those that go no further without a person (or only the others).
    `sort`: due_at, or -due_at for the latest first.
    """
    own = Target.workspace_id == principal.workspace_id
    parts: list[Condition] = []
    if status or channel_id or needs_action is not None:
        place = of_channel(principal, channel_id) if channel_id else None
        parts = [*_parts(own, place, status=status, needs_action=needs_action)] or [false()]
    return paginate(
        select(Target).where(own).options(*WHOLE), by=(Target.due_at, Target.id), limit=limit, cursor=cursor,
        newest_first=sort == "-due_at", within=(due_from, due_to), parts=parts,
    )  # fmt: skip


def of_channel(principal: Principal, channel_id: uuid.UUID) -> Condition:
    """Match a channel's targets; none if it is another workspace's."""
    own = select(Channel.id).where(Channel.id == channel_id, Channel.workspace_id == principal.workspace_id)
    return Target.channel_id == channel_id if db.session.scalar(own) else false()


def _parts(
    own: Condition, of_channel: Condition | None, *, status: str | None, needs_action: bool | None
) -> Iterator[Condition]:
    """Yield conditions of which a wanted target meets one: a state each, for only so an index has their order.

    Those that wait for their channel to be reconnected have an index of their own: they are few among those
    that wait. The states there are said the other way round, lest another index be taken for them.
    """
    place = own if of_channel is None else of_channel
    states = [state for state, shown in STATUS.items() if status in (None, shown)]
    for state in states:
        at = and_(place, Target.state == state)
        if needs_action is None or (state not in WAITING and (state in NEEDS_A_PERSON) == needs_action):
            yield at
        elif state in WAITING and not needs_action:
            yield at & (func.coalesce(Target.hold, "") != "reconnect")
    if needs_action and WAITING.intersection(states):
        found = and_(own, sql(CUT_OFF), Target.state.not_in(ELSEWHERE))
        yield found if of_channel is None else found & of_channel
