"""Connected accounts: making them from a grant, stopping and starting them, letting go of them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import AppException, StateConflictError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Channel, Credential, Event, Target
from app.models.base import JsonObject, new_id
from app.models.page import Page, paginate
from app.platforms.base import Platform, Tokens
from app.queue import wake_dispatcher
from app.services import credentials
from app.services.idempotency import Remember, forget
from app.services.platforms import registry

logger = get_logger(__name__)
CLIENT_SETTINGS = ("CLIENT_ID", "CLIENT_KEY")  # what platforms call the public half of our own identity


def list_channels(
    principal: Principal,
    *,
    limit: int,
    cursor: str | None = None,
    status: str | None = None,
    platform: str | None = None,
) -> Page[Channel]:
    """Return the workspace's channels, newest first; disconnected ones only when asked for."""
    query = select(Channel).where(Channel.workspace_id == principal.workspace_id)
    query = query.where(Channel.status == status if status else Channel.status != "disconnected")
    if platform:
        query = query.where(Channel.platform == platform)
    return paginate(query, by=(Channel.id,), limit=limit, cursor=cursor)


def get(principal: Principal, channel_id: uuid.UUID) -> Channel:
    return Channel.get_owned(channel_id, workspace_id=principal.workspace_id)


def find(ids: Collection[uuid.UUID]) -> list[Channel]:
    """Return these channels in the order they were made."""
    return list(db.session.scalars(select(Channel).where(Channel.id.in_(ids)).order_by(Channel.id)))


# -- stopping and starting


def pause(principal: Principal, channel_id: uuid.UUID, *, remember: Remember = forget) -> Channel:
    """Hold everything that waits for this channel, at once. What is already going out is not stopped."""
    return _set_pause(principal, channel_id, clock.now(), event="channel.paused", remember=remember)


def resume(principal: Principal, channel_id: uuid.UUID, *, remember: Remember = forget) -> Channel:
    """Let go of what the pause held. What is too late by now is missed, and said so."""
    return _set_pause(principal, channel_id, None, event="channel.resumed", remember=remember)


def _set_pause(
    principal: Principal,
    channel_id: uuid.UUID,
    paused_at: datetime | None,
    *,
    event: str,
    remember: Remember,
) -> Channel:
    row = Channel.get_owned(channel_id, workspace_id=principal.workspace_id, lock=True)
    if row.status == "disconnected":
        raise StateConflictError(
            "This channel is disconnected. Connect it again first.", {"status": row.status}
        )
    if (row.paused_at is None) != (paused_at is None):
        row.paused_at = paused_at
        db.session.flush()
        Target.reckon_holds(Target.channel_id == row.id)
        Event.record(event, workspace_id=row.workspace_id, subject_id=row.id)
    remember(row)
    db.session.commit()
    wake_dispatcher()
    return get(principal, channel_id)


# -- connecting


def connect(
    accounts: Sequence[JsonObject],
    *,
    tokens: Tokens,
    platform: Platform,
    workspace_id: uuid.UUID,
    server: str,
) -> list[uuid.UUID]:
    """Make or renew a channel for each account under one grant, in the caller's transaction; return their ids.

    Each account has `id, username, display_name, avatar_url, profile_url`, its own `access_token` or None, and
    `details`. What was held for reconnecting is let go.
    """
    known = _known(accounts, platform=platform.name, workspace_id=workspace_id, server=server)
    credential_id = _store_grant(
        list(known.values()), tokens=tokens, platform=platform, workspace_id=workspace_id, server=server
    )
    ids = []
    for account in accounts:
        row = known.get(account["id"])
        event = "channel.reconnected" if row else "channel.connected"
        if row is None:
            row = Channel(
                id=new_id(),
                workspace_id=workspace_id,
                platform=platform.name,
                server=server,
                remote_id=account["id"],
            )
            db.session.add(row)
        _describe(row, account, credential_id=credential_id)
        Event.record(event, workspace_id=workspace_id, subject_id=row.id, data={"platform": platform.name})
        ids.append(row.id)
    db.session.flush()
    _retire_unused(workspace_id)
    Target.reckon_holds(Target.channel_id.in_(ids))
    return ids


def _known(
    accounts: Sequence[JsonObject], *, platform: str, workspace_id: uuid.UUID, server: str
) -> dict[str, Channel]:
    query = select(Channel).where(
        Channel.workspace_id == workspace_id,
        Channel.platform == platform,
        Channel.server == server,
        Channel.remote_id.in_([account["id"] for account in accounts]),
    )
    return {row.remote_id: row for row in db.session.scalars(query.order_by(Channel.id).with_for_update())}


def _describe(row: Channel, account: JsonObject, *, credential_id: uuid.UUID) -> None:
    row.credential_id = credential_id
    row.status = "active"
    for column in ("username", "display_name", "avatar_url", "profile_url", "details"):
        setattr(row, column, account[column])
    token = account["access_token"]
    row.access_token_encrypted = credentials.seal_own(row.id, token) if token else None
    row.posting = row.posting_at = None  # what an earlier grant was allowed says nothing of this one


def _store_grant(
    known: Sequence[Channel], *, tokens: Tokens, platform: Platform, workspace_id: uuid.UUID, server: str
) -> uuid.UUID:
    """Renew the credential of the channels if it serves no others, else make a new one; return its id.

    A platform may leave the refresh token out of a repeated consent: the one we have stays good.
    """
    old = _shared_credential(known)
    if old is not None and _serves_only(old.id, known):
        columns = credentials.token_columns(
            old.id,
            tokens,
            refresh_ahead=platform.refresh_ahead,
            keeps_refresh_token=old.refresh_token_encrypted is not None,
        )
        _overwrite(old.id, columns | _own_identity(platform))
        return old.id
    id_ = new_id()
    if old is not None and old.refresh_token_encrypted and not tokens.refresh_token:
        kept = credentials.reveal(old.id, "refresh_token", old.refresh_token_encrypted)
        ends_at = tokens.refresh_expires_at or old.refresh_expires_at
        tokens = replace(tokens, refresh_token=kept, refresh_expires_at=ends_at)
    columns = credentials.token_columns(id_, tokens, refresh_ahead=platform.refresh_ahead)
    db.session.add(
        Credential(
            id=id_,
            workspace_id=workspace_id,
            platform=platform.name,
            server=server,
            **columns,
            **_own_identity(platform),
        )
    )
    db.session.flush()
    return id_


def _shared_credential(known: Sequence[Channel]) -> Credential | None:
    ids = {row.credential_id for row in known}
    return db.session.get(Credential, ids.pop(), populate_existing=True) if len(ids) == 1 else None


def _serves_only(credential_id: uuid.UUID, known: Sequence[Channel]) -> bool:
    others = select(func.count()).where(
        Channel.credential_id == credential_id,
        Channel.status != "disconnected",
        Channel.id.not_in([row.id for row in known]),
    )
    return db.session.scalar(others) == 0


def _overwrite(credential_id: uuid.UUID, columns: dict[str, Any]) -> None:
    """Store a new grant; a refresh of the old one that is under way loses its fence."""
    db.session.execute(
        update(Credential)
        .where(Credential.id == credential_id)
        .values(fence=Credential.fence + 1, **columns)
        .execution_options(synchronize_session=False)
    )


def _own_identity(platform: Platform) -> dict[str, str]:
    settings = platform.config.settings
    client_id = next((settings[name] for name in CLIENT_SETTINGS if name in settings), "")
    return {"client_id": client_id, "environment": "sandbox" if platform.config.sandbox else "live"}


# -- letting go


def disconnect(principal: Principal, channel_id: uuid.UUID) -> None:
    """Disconnect a channel: what waits for it is held, its history stays, its grant is given back.

    The grant is given back when that ends no other channel, as far as the platform lets us; else only forgotten.
    """
    row = Channel.get_owned(channel_id, workspace_id=principal.workspace_id, lock=True)
    if row.status == "disconnected":
        return
    row.status = "disconnected"
    db.session.flush()
    row.access_token_encrypted = None
    grant = _revocable(row)
    Target.reckon_holds(Target.channel_id == row.id)
    Event.record("channel.disconnected", workspace_id=row.workspace_id, subject_id=row.id)
    _retire_unused(row.workspace_id)
    platform = row.platform
    db.session.commit()
    if grant is not None:
        _revoke(platform, grant)


def _revocable(row: Channel) -> Tokens | None:
    """Return the channel's grant when giving it back ends no other channel."""
    old = db.session.get_one(Credential, row.credential_id)
    if not _serves_only(old.id, [row]) or _shares_consent(row, old):
        return None
    sealed = old.refresh_token_encrypted
    return Tokens(
        access_token=credentials.reveal(old.id, "access_token", old.access_token_encrypted),
        refresh_token=credentials.reveal(old.id, "refresh_token", sealed) if sealed else None,
        expires_at=old.expires_at,
        refresh_expires_at=old.refresh_expires_at,
        scopes=frozenset(old.scopes),
    )


def _shares_consent(row: Channel, grant: Credential) -> bool:
    """Would other grants, in any workspace, end with this one, as all that a person gave to the app does?"""
    same_person = select(Credential.id).where(
        Credential.remote_user_id.is_not(None),
        Credential.remote_user_id == grant.remote_user_id,  # ids are an app's own: equal ones are one app's
        Credential.status == "active",
        Credential.id != grant.id,
    )
    same_account = select(Channel.id).where(
        Channel.platform == row.platform,
        Channel.remote_id == row.remote_id,
        Channel.id != row.id,
        Channel.status == "active",
    )
    return bool(db.session.scalar(select(same_person.exists() | same_account.exists())))


def _retire_unused(workspace_id: uuid.UUID) -> None:
    """Forget the tokens of grants that serve no connected channel."""
    in_use = select(Channel.credential_id).where(
        Channel.workspace_id == workspace_id, Channel.status != "disconnected"
    )
    unused = select(Credential.id).where(
        Credential.workspace_id == workspace_id, Credential.status != "revoked", Credential.id.not_in(in_use)
    )
    for id_ in db.session.scalars(unused).all():
        nothing = credentials.seal(id_, "access_token", "")
        columns = {"access_token_encrypted": nothing, "refresh_token_encrypted": None, "next_at": None}
        _overwrite(id_, {"status": "revoked", "lease_until": None, **columns})


def _revoke(platform: str, tokens: Tokens) -> None:
    try:
        registry().get(platform).revoke(tokens)
    except AppException as error:
        logger.warning("could not give a grant back", extra={"platform": platform, "code": error.code})
