"""What may keep a target from going out although nothing is wrong with it yet: said while it can be mended.

Warnings are worked out when somebody looks, and never stored: what they say may be over tomorrow.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from app import clock
from app.domain.target_state import BEFORE_INTENT
from app.extensions import db
from app.models import Channel, Credential, Target
from app.models.base import JsonObject
from app.services import grant_ends, quotas
from app.services.platforms import registry


def attach(targets: Sequence[Target]) -> None:
    """Set `warnings` of each target; of one that waits for no time there are none. Two queries for all of them."""
    waiting = [target for target in targets if target.state in BEFORE_INTENT and target.due_at]
    grants = _grants({target.channel_id for target in waiting})
    promised = quotas.promised_away(waiting) if waiting else {}
    for target in targets:
        target.warnings = []
    for target in waiting:
        found = (_grant_warning(target, grants[target.channel_id]), _quota_warning(target, promised))
        target.warnings = [warning for warning in found if warning is not None]


def _grants(channel_ids: set[uuid.UUID]) -> dict[uuid.UUID, Row[*tuple[Any, ...]]]:
    query = (
        select(Channel.id, Channel.status, Channel.username, Credential)
        .join(Credential, Credential.id == Channel.credential_id)
        .where(Channel.id.in_(channel_ids))
    )
    return {row.id: row for row in db.session.execute(query)} if channel_ids else {}


def _grant_warning(target: Target, row: Row[*tuple[Any, ...]]) -> JsonObject | None:
    """Will the connection have ended by the time the target is due?"""
    assert target.due_at is not None
    ends_at = grant_ends.life(row.Credential).ends_at
    facts: JsonObject = {"due_at": _text(target.due_at), "ends_at": _text(ends_at)}
    if row.status != "active" or row.Credential.status != "active":
        message = f"The connection of {row.username} has ended. Reconnect the channel, or this waits for it."
        return _warning("GRANT_ENDS_BEFORE_DUE", message, facts | {"reason": "needs_reconnect"})
    if ends_at is None or ends_at > target.due_at:
        return None
    message = (
        f"The connection of {row.username} ends at {_text(ends_at)}, before this is due. "
        "Reconnect the channel before then."
    )
    return _warning("GRANT_ENDS_BEFORE_DUE", message, facts | {"reason": "ends"})


def _quota_warning(target: Target, promised: Mapping[uuid.UUID, JsonObject]) -> JsonObject | None:
    """Are all posts the platform takes in that time promised to others?"""
    facts = promised.get(target.id)
    if facts is None:
        return None
    label = registry().get(target.platform).label
    then = _when_over_quota(target, datetime.fromisoformat(facts["window"]["ends_at"]))
    message = (
        f"{label} takes {facts['limit']} posts from {facts['window']['starts_at']} to "
        f"{facts['window']['ends_at']}, and {facts['promised']} are planned already: this one {then} unless "
        "another makes room."
    )
    return _warning("QUOTA_PROMISED", message, facts)


def _when_over_quota(target: Target, ends_at: datetime) -> str:
    """Return what becomes of a target for which the quota does not suffice; the user's own limit stays."""
    if target.if_over_quota != "defer":
        return "fails"
    own = target.post.late_until
    if own is None or target.late_until != own:
        return "waits for the next window"
    if own <= ends_at:
        return "is missed, for the next window begins after its late_until,"
    return f"waits for the next window, but not beyond {_text(own)},"


def _warning(code: str, message: str, details: Mapping[str, Any]) -> JsonObject:
    return {"code": code, "message": message, "details": dict(details)}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else clock.isoformat(moment)
