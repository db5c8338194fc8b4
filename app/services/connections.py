"""Connecting an account: consent in the person's browser, then, by whoever began it, a choice of channels.

The browser's return proves two things: the `state` (who asked for this consent) and a nonce cookie (that it is
the browser in which it was begun). It stores tokens and choices only; channels are made by `complete`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.domain.principal import Principal
from app.exceptions import (
    AppException,
    AuthorizationError,
    PlatformAPIError,
    PlatformValidationError,
    ResourceNotFoundError,
    StateConflictError,
    ValidationError,
)
from app.extensions import db, key_ring
from app.logging_config import get_logger
from app.models import Channel, Connection
from app.models.base import JsonObject, new_id
from app.platforms.base import Platform, RemoteAccount, Tokens
from app.queue import wake_dispatcher
from app.security import hash_secret, new_secret, secrets_equal
from app.services import channels
from app.services.platforms import registry

logger = get_logger(__name__)
LIFE = timedelta(minutes=10)  # of a consent, and then again of the choice
MAX_TEXT = 200  # characters of a name or id a platform gives us
MAX_URL = 2000


@dataclass(frozen=True)
class Begun:
    """A consent under way: where to send the browser, and the nonce its cookie must hold."""

    connection: Connection
    authorize_url: str
    nonce: str = field(repr=False)


def begin(
    principal: Principal, *, platform: str, server: str = "", credentials: Mapping[str, str] | None = None
) -> Begun:
    """Begin to connect an account. Raises PlatformValidationError when that cannot be done here."""
    adapter = registry().get(platform)
    _check_offered(adapter, server=server, credentials=credentials)
    state, nonce, id_ = new_secret(), new_secret(), new_id()
    consent = adapter.consent(state=state)
    row = Connection(
        id=id_,
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        platform=platform,
        state_hash=hash_secret(state),
        nonce_hash=hash_secret(nonce),
        verifier_encrypted=key_ring().encrypt(consent.verifier, context=_place(id_, "verifier")),
        expires_at=clock.now() + LIFE,
    )
    db.session.add(row)
    db.session.commit()
    return Begun(row, consent.authorize_url, nonce)


def _check_offered(adapter: Platform, *, server: str, credentials: Mapping[str, str] | None) -> None:
    details: dict[str, list[str]] = {}
    if not adapter.configured(adapter.config.settings):
        missing = [f"{adapter.name}_{item.name}".upper() for item in adapter.settings if item.secret]
        details["platform"] = [
            f"{adapter.label} is not set up on this installation. Set {', '.join(missing)}."
        ]
    if server:
        details["server"] = [f"{adapter.label} has no servers to choose from. Leave this out."]
    if credentials:
        details["credentials"] = [f"{adapter.label} is connected by consent in a browser. Leave this out."]
    if details:
        raise PlatformValidationError(details=details)


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
        choices = _choices(adapter.accounts(tokens))
        if not choices:
            message = "This consent opened no account we could post to. Connect again with another account."
            raise PlatformAPIError(message, platform=row.platform, kind="account")
    except AppException as error:
        _finish(row.id, status="failed", error=error.to_dict())
        raise
    sealed = key_ring().encrypt(_tokens_to_json(tokens), context=_place(row.id, "tokens"))
    _finish(
        row.id, status="authorized", tokens_encrypted=sealed, choices=choices, expires_at=clock.now() + LIFE
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


def _choices(accounts: Sequence[RemoteAccount]) -> list[JsonObject]:
    """Return the accounts as they are stored and offered, with nothing in them that could do harm."""
    return [
        {
            "id": account.remote_id,
            "username": _text(account.username),
            "display_name": _text(account.display_name),
            "avatar_url": _url(account.avatar_url),
            "profile_url": _url(account.profile_url),
        }
        for account in accounts
        if account.remote_id and account.remote_id == _text(account.remote_id)
    ]


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "")[:MAX_TEXT]


def _url(value: str | None) -> str | None:
    """Return an address a page may link to, or None."""
    usable = value is not None and value.startswith(("https://", "http://")) and value.isascii()
    return value if usable and value is not None and len(value) <= MAX_URL else None


# -- the choice


def complete(
    principal: Principal, connection_id: uuid.UUID, *, choice_ids: Collection[str] | None = None
) -> list[Channel]:
    """Make channels of the chosen accounts, or give those that exist their new grant.

    None chooses the only account there is. Raises StateConflictError before consent or after use, and
    ValidationError for a choice that was not offered.
    """
    row = Connection.get_owned(connection_id, workspace_id=principal.workspace_id, lock=True)
    _check_ready(row)
    chosen = _chosen(row.choices, choice_ids)
    opened = key_ring().decrypt(row.tokens_encrypted or "", context=_place(row.id, "tokens"))
    try:
        ids = channels.connect(
            chosen,
            tokens=_tokens_from_json(opened),
            platform=registry().get(row.platform),
            workspace_id=row.workspace_id,
            server=row.server,
        )
        row.status, row.tokens_encrypted, row.completed_at = "completed", None, clock.now()
        db.session.commit()
    except IntegrityError:  # the same account connected twice at the same moment
        db.session.rollback()
        raise StateConflictError(
            "This account is being connected elsewhere. Try again in a moment."
        ) from None
    wake_dispatcher()
    return channels.find(ids)


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


# -- tokens on their way from the browser's return to the choice


def _place(connection_id: uuid.UUID, column: str) -> str:
    return f"connections:{column}:{connection_id}"


def _tokens_to_json(tokens: Tokens) -> str:
    return json.dumps(
        {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
            "refresh_expires_at": tokens.refresh_expires_at.isoformat()
            if tokens.refresh_expires_at
            else None,
            "scopes": sorted(tokens.scopes),
        }
    )


def _tokens_from_json(text: str) -> Tokens:
    values = json.loads(text)
    times = {
        name: datetime.fromisoformat(values[name]) if values[name] else None
        for name in ("expires_at", "refresh_expires_at")
    }
    return Tokens(**(values | times | {"scopes": frozenset(values["scopes"])}))
