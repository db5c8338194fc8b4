"""Forgetting a person at their platform's request, and saying so afterwards."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, select, true, update

from app import clock
from app.domain.target_state import BEFORE_INTENT, IN_FLIGHT
from app.exceptions import ResourceNotFoundError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import Channel, Connection, Credential, DeletionRequest, Event, Step, Target
from app.models.event import EventData
from app.security import new_secret
from app.services import credentials

logger = get_logger(__name__)
UNTOUCHED = (
    BEFORE_INTENT | IN_FLIGHT | {"awaiting_user"}
)  # what still waits for something keeps what it needs

CLOCKS_APART = timedelta(minutes=1)
CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNDONE_STEPS = ("waiting", "doing", "recurring")


def is_of(platforms: Sequence[str], remote_id: str) -> ColumnElement[bool]:
    """Match grants of a user, or of an account, by its id at the platforms."""
    accounts = select(Channel.credential_id).where(
        Channel.platform.in_(platforms), Channel.remote_id == remote_id, Channel.status != "disconnected"
    )
    return Credential.platform.in_(platforms) & (
        (Credential.remote_user_id == remote_id) | Credential.id.in_(accounts)
    )


def was_given_by(at: datetime | None) -> ColumnElement[bool]:
    """Match grants the person's word of `at` is about: those renewed since are newer than it. None: all."""
    if at is None:
        return true()
    return Credential.refreshed_at.is_(None) | (Credential.refreshed_at <= at + CLOCKS_APART)


def forget(platforms: Sequence[str], remote_id: str, *, at: datetime | None = None) -> dict[str, str]:
    """Erase what is kept of a person, and return where they can see that it was done, with their code.

    `platforms` are those of the app that asks; the first is the one that was asked. What the person connected
    after `at`, when they asked, stays.

    All of it is one transaction, so an answered request is a finished one. What waits for their channels is
    held. Asked again, it erases again and answers the same code. Commits.
    """
    older = was_given_by(at)
    grants = db.session.scalars(select(Credential.id).where(is_of(platforms, remote_id), older)).all()
    channels = db.session.scalars(
        select(Channel)
        .where(
            Channel.platform.in_(platforms),
            (Channel.remote_id == remote_id) | Channel.credential_id.in_(grants),
            Channel.credential_id.in_(select(Credential.id).where(older)),
        )
        .order_by(Channel.id)
        .with_for_update()
    ).all()
    _forget_consents(channels, at)
    for channel in channels:
        _blank(channel)
    for credential_id in grants:
        _erase(credential_id)
    db.session.flush()
    _forget_posts([channel.id for channel in channels])
    Target.reckon_holds(Target.channel_id.in_([channel.id for channel in channels]))
    code = _note(platforms[0], remote_id)
    db.session.commit()
    logger.info("forgot a person", extra={"platforms": [*platforms], "channels": len(channels)})
    return {"url": f"{settings().public_url.rstrip('/')}/data-deletion/{code}", "confirmation_code": code}


def find(code: str) -> DeletionRequest:
    """Return the request a code stands for. Raises ResourceNotFoundError."""
    looks_like_one = CODE.fullmatch(code) is not None
    query = select(DeletionRequest).where(DeletionRequest.code == code)
    found = db.session.scalar(query) if looks_like_one else None
    if found is None:
        raise ResourceNotFoundError("There is no deletion request with this code.")
    return found


def _blank(channel: Channel) -> None:
    """Leave of a channel only what its posts hang on."""
    if channel.status != "disconnected":
        data: EventData = {"reason": "deletion"}
        Event.record(
            "channel.disconnected", workspace_id=channel.workspace_id, subject_id=channel.id, data=data
        )
    channel.status = "disconnected"
    channel.remote_id = f"deleted-{channel.id}"
    channel.username = channel.display_name = ""
    channel.avatar_url = channel.profile_url = channel.access_token_encrypted = None
    channel.details, channel.posting, channel.posting_at = {}, None, None


def _erase(credential_id: uuid.UUID) -> None:
    """Forget a grant; whoever renews it meanwhile loses it."""
    columns: dict[str, Any] = {
        "access_token_encrypted": credentials.seal(credential_id, "access_token", ""),
        "refresh_token_encrypted": None,
        "remote_user_id": None,
        "scopes": [],
        "status": "revoked",
        "error": None,
        "next_at": None,
        "lease_until": None,
    }
    db.session.execute(
        update(Credential)
        .where(Credential.id == credential_id)
        .values(fence=Credential.fence + 1, **columns)
        .execution_options(synchronize_session=False)
    )


def _forget_consents(channels: Sequence[Channel], at: datetime | None) -> None:
    """Forget consents that name these accounts, and their tokens, but for those begun after `at`."""
    begun = true() if at is None else Connection.created_at <= at + CLOCKS_APART
    accounts = {channel.remote_id for channel in channels}
    rows = db.session.scalars(
        select(Connection).where(
            Connection.workspace_id.in_({channel.workspace_id for channel in channels}),
            Connection.platform.in_({channel.platform for channel in channels}),
            begun,
        )
    )
    for row in rows:
        if any(choice.get("id") in accounts for choice in row.choices):
            row.choices, row.tokens_encrypted = [], None


def _forget_posts(channel_ids: Collection[uuid.UUID]) -> None:
    """Forget where posts are and their figures; they are not watched any more."""
    theirs = select(Target.id).where(Target.channel_id.in_(channel_ids), Target.state.not_in(UNTOUCHED))
    nothing = ("remote_id", "permalink", "stats", "stats_at", "handle_encrypted", "next_at", "lease_until")
    db.session.execute(
        update(Target)
        .where(Target.id.in_(theirs.order_by(Target.id).with_for_update().correlate(None)))
        .values(fence=Target.fence + 1, **dict.fromkeys(nothing))
        .execution_options(synchronize_session=False)
    )
    ended = case((Step.state.in_(UNDONE_STEPS), "cancelled"), else_=Step.state)
    db.session.execute(
        update(Step)
        .where(Step.target_id.in_(theirs))
        .values(state=ended, fence=Step.fence + 1, result=None, next_at=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


def _note(platform: str, remote_id: str) -> str:
    """Keep that it was done, under a hash nobody can turn back into a person; return the code."""
    secret, person = settings().secret_key.encode(), f"deletion:{platform}:{remote_id}".encode()
    hashed = hmac.digest(secret, person, "sha256").hex()
    row = db.session.scalar(
        select(DeletionRequest).where(
            DeletionRequest.platform == platform, DeletionRequest.remote_user_hash == hashed
        )
    )
    if row is None:
        row = DeletionRequest(platform=platform, code=new_secret(), remote_user_hash=hashed)
        db.session.add(row)
    row.done_at = clock.now()
    return row.code
