"""Keeping grants alive: one refresh at a time, saved before it is used, and a dead grant told from a bad day."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, update

from app import clock, crash_points
from app.domain.grant_life import GrantLife
from app.domain.retry import backoff
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.extensions import db, key_ring
from app.logging_config import get_logger
from app.models import Channel, Credential, Event, Target
from app.platforms.base import Platform, Tokens
from app.services import leases, renewals
from app.services.platforms import registry

logger = get_logger(__name__)
LEASE = timedelta(seconds=60)
JUST_RENEWED = timedelta(minutes=10)
WAIT_SECONDS = 20.0  # how long to wait for somebody else's refresh


def seal(credential_id: uuid.UUID, column: str, token: str) -> str:
    """Return a token as it is stored: sealed to its row and column."""
    return key_ring().encrypt(token, context=f"credentials:{column}:{credential_id}")


def reveal(credential_id: uuid.UUID, column: str, sealed: str) -> str:
    """Return a stored token in clear; keep it out of logs, errors and Redis."""
    return key_ring().decrypt(sealed, context=f"credentials:{column}:{credential_id}")


def seal_own(channel_id: uuid.UUID, token: str) -> str:
    """Return a channel's own token as it is stored."""
    return key_ring().encrypt(token, context=f"channels:access_token:{channel_id}")


def reveal_own(channel_id: uuid.UUID, sealed: str) -> str:
    """Return a channel's own token in clear; keep it out of logs, errors and Redis."""
    return key_ring().decrypt(sealed, context=f"channels:access_token:{channel_id}")


def token_columns(
    credential_id: uuid.UUID, tokens: Tokens, *, refresh_ahead: timedelta, keeps_refresh_token: bool = False
) -> dict[str, Any]:
    """Return the columns that store these tokens; an absent refresh token leaves the stored one alone.

    `keeps_refresh_token`: there is a stored one that stays good.
    """
    now = clock.now()
    renewable = keeps_refresh_token or tokens.refresh_token is not None
    life = GrantLife(renewable, now, tokens.expires_at, tokens.refresh_expires_at)
    columns: dict[str, Any] = {
        "access_token_encrypted": seal(credential_id, "access_token", tokens.access_token),
        "expires_at": tokens.expires_at,
        "refreshed_at": now,
        "next_at": life.next_look(ahead=refresh_ahead, told_at=None),
        "status": "active",
        "error": None,
        "retries": 0,
        "attempts": 0,
        "lease_until": None,
    }
    if tokens.scopes or not keeps_refresh_token:
        columns["scopes"] = sorted(tokens.scopes)
    if tokens.user_id or not keeps_refresh_token:
        columns["remote_user_id"] = tokens.user_id
    if tokens.refresh_token:
        columns["refresh_token_encrypted"] = seal(credential_id, "refresh_token", tokens.refresh_token)
    if tokens.refresh_expires_at or not keeps_refresh_token or tokens.refresh_token:
        columns["refresh_expires_at"] = tokens.refresh_expires_at
    return columns


def ensure_fresh(credential_id: uuid.UUID, *, until: datetime) -> None:
    """Return when the access token outlives `until`, refreshing it or waiting for whoever does.

    One that nothing can refresh is good until it ends. Raises PlatformAuthError when the grant is dead,
    PlatformAPIError (transient) when it cannot be refreshed now. No transaction is open then or meanwhile.
    """
    give_up_at = clock.monotonic() + WAIT_SECONDS
    while True:
        row = db.session.get(Credential, credential_id, populate_existing=True)
        db.session.commit()
        if row is None or row.status != "active":
            raise PlatformAuthError(platform=row.platform if row else "")
        if row.expires_at is None or row.expires_at > (until if row.refresh_token_encrypted else clock.now()):
            return
        fence = _claim(credential_id, until=until)
        if fence is not None:
            refresh(credential_id, fence)
        elif clock.monotonic() > give_up_at:
            raise PlatformAPIError("The connection is being renewed. We try again.", platform=row.platform)
        else:
            time.sleep(0.2)


def _claim(credential_id: uuid.UUID, *, until: datetime) -> int | None:
    """Take the lease unless somebody has it, or has renewed the token since we looked."""
    now = clock.now()
    fence = db.session.scalar(
        update(Credential)
        .where(
            Credential.id == credential_id,
            Credential.expires_at <= until,
            Credential.status == "active",
            _is_free(now),
        )
        .values(fence=Credential.fence + 1, lease_until=now + LEASE, next_at=now + LEASE)
        .returning(Credential.fence)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
    return fence


def _is_free(now: datetime) -> ColumnElement[bool]:
    return Credential.lease_until.is_(None) | (Credential.lease_until <= now)


def refresh(credential_id: uuid.UUID, fence: int) -> None:
    """Trade the refresh token under the lease `fence` stands for, and save what comes before it is used.

    Raises PlatformAuthError when the platform says the grant is dead (the channels then need reconnecting),
    PlatformAPIError when it could not be asked; then a later try is planned.
    """
    row = _snapshot(Credential.id == credential_id, Credential.fence == fence)
    if row is None or not leases.begin(Credential, credential_id, fence):
        return
    platform = registry().get(row.platform)
    try:
        tokens = _trade(row, platform)
    except PlatformAPIError as error:
        _record_failure(row, fence, error)
        raise renewals.as_trouble(error, before=row.error) from error
    crash_points.hit("refresh.after_call", platform.name)
    ahead = platform.refresh_ahead
    _keep(row, token_columns(credential_id, tokens, refresh_ahead=ahead, keeps_refresh_token=True))


def _keep(row: Credential, columns: dict[str, Any]) -> None:
    """Save what the stored refresh token was traded for, even if the lease has ended meanwhile.

    The platform may have ended the old token with its answer, so dropping the new one would kill the grant.
    """
    while True:
        kept = db.session.execute(
            update(Credential)
            .where(Credential.id == row.id, Credential.status == "active", _still_stored(row))
            .values(**columns)
            .execution_options(synchronize_session=False)
        )
        db.session.commit()
        if kept.rowcount:  # type: ignore[attr-defined]
            return
        found = _sealed_anew(row)
        if found is None:
            logger.warning("renewed tokens of credential %s were dropped: it was connected anew", row.id)
            return
        row = found


def _snapshot(*where: ColumnElement[bool]) -> Credential | None:
    """Return a grant as it is now, detached: whatever is written later does not change it. Commits."""
    query = select(Credential).where(*where).execution_options(populate_existing=True)
    row = db.session.scalar(query)
    if row is not None:
        db.session.expunge(row)
    db.session.commit()
    return row


def _still_stored(row: Credential) -> ColumnElement[bool]:
    return Credential.refresh_token_encrypted == row.refresh_token_encrypted


def _sealed_anew(row: Credential) -> Credential | None:
    """Return the row as it is now if it holds the same refresh token under another seal (see `keys`)."""
    now = _snapshot(Credential.id == row.id, Credential.status == "active", ~_still_stored(row))
    return now if now and now.refresh_token_encrypted and _refresh_token(now) == _refresh_token(row) else None


def _refresh_token(row: Credential) -> str:
    return reveal(row.id, "refresh_token", row.refresh_token_encrypted or "")


def _trade(row: Credential, platform: Platform) -> Tokens:
    if row.refresh_token_encrypted is None:
        raise PlatformAuthError(platform=row.platform)
    return platform.refresh(_refresh_token(row))


def _record_failure(row: Credential, fence: int, error: PlatformAPIError) -> None:
    if error.kind == "reauth":
        mark_dead(row.id, error, _still_stored(row), Credential.fence == fence)
        return
    next_at = error.retry_at or clock.now() + backoff(row.retries + 1)
    leases.write(
        Credential,
        row.id,
        fence,
        next_at=next_at,
        lease_until=None,
        attempts=0,
        retries=row.retries + 1,
        error=error.to_dict(),
    )
    db.session.commit()


def mark_dead(credential_id: uuid.UUID, error: PlatformAPIError, *where: ColumnElement[bool]) -> None:
    """Say that a grant is dead, if `where` holds: its channels need reconnecting, their targets are held.

    Commits.
    """
    statement = update(Credential).where(
        Credential.id == credential_id, Credential.status == "active", *where
    )
    values = {"status": "needs_reconnect", "next_at": None, "lease_until": None, "error": error.to_dict()}
    marked = db.session.execute(statement.values(**values).execution_options(synchronize_session=False))
    if marked.rowcount:  # type: ignore[attr-defined]
        _hold_channels(Channel.credential_id == credential_id)
    db.session.commit()


def doubt(
    credential_id: uuid.UUID,
    error: PlatformAPIError,
    *,
    used: datetime | None,
    channel_id: uuid.UUID,
) -> None:
    """The platform refused a token: renew it before the next call, or, where that cannot help, call it dead.

    `used` is the `refreshed_at` that stood beside the token: one that was renewed since proves nothing
    against its successor, and one that is being renewed is left to whoever does. A channel with a token of its
    own answers for itself: nothing renews that token but its owner, and other channels go on. Commits.
    """
    now = clock.now()
    same = Credential.refreshed_at.is_(None) if used is None else Credential.refreshed_at == used
    if _doubt_own(channel_id, Credential.id == credential_id, same):
        return
    if used is not None and used > now - JUST_RENEWED:
        mark_dead(credential_id, error, same, _is_free(now))
        return
    mark_dead(credential_id, error, same, _is_free(now), Credential.refresh_token_encrypted.is_(None))
    db.session.execute(
        update(Credential)
        .where(Credential.id == credential_id, Credential.status == "active", same, _is_free(now))
        .values(expires_at=now, next_at=now)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()


def _doubt_own(channel_id: uuid.UUID, *grant: ColumnElement[bool]) -> bool:
    """If the channel has a token of its own, and still has the grant it came with, it needs reconnecting."""
    has_own = db.session.scalar(
        select(Channel.id).where(Channel.id == channel_id, Channel.access_token_encrypted.is_not(None))
    )
    if has_own:
        _hold_channels(
            Channel.id == channel_id, Channel.credential_id.in_(select(Credential.id).where(*grant))
        )
    db.session.commit()
    return has_own is not None


def _hold_channels(*where: ColumnElement[bool]) -> None:
    channels = db.session.execute(
        update(Channel)
        .where(Channel.status == "active", *where)
        .values(status="needs_reconnect")
        .returning(Channel.id, Channel.workspace_id)
        .execution_options(synchronize_session=False)
    ).all()
    for channel_id, workspace_id in channels:
        Event.record("channel.needs_reconnect", workspace_id=workspace_id, subject_id=channel_id)
    db.session.flush()
    Target.reckon_holds(Target.channel_id.in_([channel_id for channel_id, _ in channels]))


def give_up(credential_id: uuid.UUID, fence: int) -> None:
    """End a refresh that killed three workers: try again in an hour rather than for ever. Commits."""
    leases.write(
        Credential,
        credential_id,
        fence,
        next_at=clock.now() + timedelta(hours=1),
        lease_until=None,
        attempts=0,
    )
    db.session.commit()
