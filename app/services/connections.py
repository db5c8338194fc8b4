"""Connecting an account: consent in the person's browser, then, by whoever began it, a choice of channels.

The browser's return proves two things: the `state` (who asked for this consent) and a nonce cookie (that it is
the browser in which it was begun). It stores tokens and choices only; channels are made by `complete`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.domain.principal import Principal
from app.exceptions import (
    AppException,
    AuthorizationError,
    PlatformAPIError,
    ResourceNotFoundError,
    StateConflictError,
    ValidationError,
)
from app.extensions import db, key_ring
from app.logging_config import get_logger
from app.models import Channel, Connection
from app.models.base import JsonObject, new_id
from app.queue import ASK_POSTING_OPTIONS, enqueue, wake_dispatcher
from app.security import hash_secret, new_secret, secrets_equal
from app.services import channels, grants, logins
from app.services.idempotency import Remember, forget
from app.services.platforms import registry

logger = get_logger(__name__)
LIFE = timedelta(minutes=10)  # of a consent, and then again of the choice


@dataclass(frozen=True)
class Begun:
    """A consent under way: where to send the browser, and the nonce its cookie must hold."""

    connection: Connection
    authorize_url: str
    nonce: str = field(repr=False)


def begin(
    principal: Principal,
    *,
    platform: str,
    login: str | None = None,
    server: str = "",
    credentials: Mapping[str, str] | None = None,
    remember: Remember = forget,
) -> Begun:
    """Begin to connect an account, by one of the platform's logins or the first that is set up.

    Raises PlatformValidationError when that cannot be done here.
    """
    adapter = registry().get(platform)
    way = logins.choose(adapter, login=login, server=server, credentials=credentials)
    state, nonce, id_ = new_secret(), new_secret(), new_id()
    consent = adapter.consent(state=state, login=way)
    row = Connection(
        id=id_,
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        platform=platform,
        login=way,
        state_hash=hash_secret(state),
        nonce_hash=hash_secret(nonce),
        verifier_encrypted=key_ring().encrypt(consent.verifier, context=_place(id_, "verifier")),
        expires_at=clock.now() + LIFE,
    )
    db.session.add(row)
    db.session.flush()
    begun = Begun(row, consent.authorize_url, nonce)
    remember(begun)
    db.session.commit()
    return begun


@dataclass(frozen=True)
class Completed:
    """A connection that was used, and the channels it made or renewed."""

    id: uuid.UUID
    channels: list[Channel]
    status: str = "completed"


def get(principal: Principal, connection_id: uuid.UUID) -> Connection:
    """Return a connection of the caller's workspace."""
    return Connection.get_owned(connection_id, workspace_id=principal.workspace_id)


# -- the browser comes back


def receive_consent(params: Mapping[str, str], *, nonce_of: Callable[[uuid.UUID], str | None]) -> Connection:
    """Trade what the browser brought for tokens and keep them, with the accounts to choose from.

    `nonce_of` gives the browser's nonce for a connection. Raises ResourceNotFoundError for a state nobody
    gave out, AuthorizationError for another browser, StateConflictError for one used or expired, and
    PlatformAPIError when consent was denied or the platform failed; then nothing is stored but the reason.
    """
    row, verifier = _redeem(params.get("state", ""), nonce_of)
    adapter = registry().get(row.platform)
    try:
        tokens = adapter.exchange(params=params, verifier=verifier)
        accounts = grants.offered(adapter.accounts(tokens))
        if not accounts:
            message = "This consent opened no account we could post to. Connect again with another account."
            raise PlatformAPIError(message, platform=row.platform, kind="account")
    except AppException as error:
        _finish(row.id, status="failed", error=error.to_dict())
        raise
    _finish(
        row.id,
        status="authorized",
        tokens_encrypted=key_ring().encrypt(grants.pack(tokens, accounts), context=_place(row.id, "tokens")),
        choices=grants.choices(accounts),
        expires_at=clock.now() + LIFE,
    )
    return row


def _redeem(state: str, nonce_of: Callable[[uuid.UUID], str | None]) -> tuple[Connection, str]:
    """Use the state up, once. Commits."""
    row = db.session.scalar(select(Connection).where(Connection.state_hash == hash_secret(state)))
    if row is None:
        raise ResourceNotFoundError(
            "Nobody here asked for this consent. Begin to connect again.", {"found": "state"}
        )
    if not secrets_equal(hash_secret(nonce_of(row.id) or ""), row.nonce_hash):
        raise AuthorizationError(
            "This consent was begun in another browser, or cookies are blocked. Begin again in this one."
        )
    used = db.session.execute(
        update(Connection)
        .where(Connection.id == row.id, Connection.status == "pending", Connection.expires_at > clock.now())
        .values(status="exchanging", verifier_encrypted="")
        .returning(Connection.id)
        .execution_options(synchronize_session=False)
    ).first()
    if used is None:
        raise StateConflictError("This consent was already used, or ten minutes have passed. Begin again.")
    verifier = key_ring().decrypt(row.verifier_encrypted, context=_place(row.id, "verifier"))
    db.session.expunge(row)
    db.session.commit()
    return row, verifier


def _finish(connection_id: uuid.UUID, **values: Any) -> None:
    db.session.execute(
        update(Connection)
        .where(Connection.id == connection_id, Connection.status == "exchanging")
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()


# -- the choice


def complete(
    principal: Principal,
    connection_id: uuid.UUID,
    *,
    choice_ids: Collection[str] | None = None,
    remember: Remember = forget,
) -> Completed:
    """Make channels of the chosen accounts, or give those that exist their new grant.

    None chooses the only account there is. Raises StateConflictError before consent or after use, and
    ValidationError for a choice that was not offered.
    """
    row = Connection.get_owned(connection_id, workspace_id=principal.workspace_id, lock=True)
    _check_ready(row)
    chosen = _chosen(row.choices, choice_ids)
    opened = key_ring().decrypt(row.tokens_encrypted or "", context=_place(row.id, "tokens"))
    grant = grants.unpack(opened)
    try:
        ids = channels.connect(
            [choice | grant.own[choice["id"]] for choice in chosen],
            tokens=grant.tokens,
            platform=registry().get(row.platform),
            workspace_id=row.workspace_id,
            server=row.server,
        )
        row.status, row.tokens_encrypted, row.completed_at = "completed", None, clock.now()
        db.session.flush()
        remember(Completed(connection_id, channels.find(ids)))
        db.session.commit()
    except IntegrityError:  # the same account connected twice at the same moment
        db.session.rollback()
        raise StateConflictError(
            "This account is being connected elsewhere. Try again in a moment."
        ) from None
    wake_dispatcher()
    for id_ in ids:  # best effort: what they may post is known by the time somebody schedules
        enqueue(ASK_POSTING_OPTIONS, str(id_))
    return Completed(connection_id, channels.find(ids))


def _check_ready(row: Connection) -> None:
    if row.status != "authorized":
        raise StateConflictError(
            f"This connection is {row.status}; only an authorized one can be completed.",
            {"status": row.status, "allowed": "authorized"},
        )
    if row.expires_at <= clock.now():
        raise StateConflictError(
            "This connection has expired. Begin to connect again.", {"status": "expired"}
        )


def _chosen(choices: list[JsonObject], ids: Collection[str] | None) -> list[JsonObject]:
    offered = {choice["id"]: choice for choice in choices}
    if ids is None and len(offered) == 1:
        return choices
    if not ids:
        raise ValidationError(details={"choice_ids": [f"Choose at least one of {', '.join(offered)}."]})
    unknown = [id_ for id_ in ids if id_ not in offered]
    if unknown:
        problem = f"Not offered: {', '.join(unknown)}. Choose from {', '.join(offered)}."
        raise ValidationError(details={"choice_ids": [problem]})
    return [offered[id_] for id_ in dict.fromkeys(ids)]


def _place(connection_id: uuid.UUID, column: str) -> str:
    return f"connections:{column}:{connection_id}"
