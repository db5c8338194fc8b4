"""Who is asking: one query a request finds the person's session and role, or the program's key.

An access token is a JWT that names a session; the session's row is looked at each time, so a logout or a
deleted user counts at once. A refresh token is `vsr_<session id>_<secret>`, kept as a hash; each use replaces
it, and an old one that comes back means that somebody has a copy: the session ends.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, cast

from flask_jwt_extended import create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from sqlalchemy import Row, Select, and_, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import aliased

from app import clock
from app.domain.principal import Principal, Role, Scope, role_of_key
from app.exceptions import AuthenticationError, InvalidTokenError, ResourceNotFoundError, TokenExpiredError
from app.extensions import db, read_only, settings
from app.logging_config import get_logger
from app.models import ApiKey, LoginSession, Membership, User, Workspace
from app.models.base import new_id
from app.security import (
    hash_password,
    hash_secret,
    new_secret,
    parse_api_key,
    password_needs_rehash,
    secrets_equal,
    verify_password,
)

logger = get_logger(__name__)

Query = Select[*tuple[Any, ...]]
Found = Row[*tuple[Any, ...]]

KEY_USE_NOTED_EVERY = timedelta(minutes=1)
REFRESH_PREFIX = "vsr"


@dataclass(frozen=True)
class Login:
    """What a person gets by logging in or refreshing. Times are in seconds from now."""

    user_id: uuid.UUID
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    refresh_expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme (RFC 6750)


# -- whoever asks


def authenticate_key(full: str) -> Principal:
    """Return the principal of an API key. Raises InvalidTokenError or TokenExpiredError.

    It lives as long as whoever made it belongs to the workspace, and never may do more than they may now.
    """
    public_id, secret = parse_api_key(full) or ("", "")
    row = _read_one(_key_query(public_id))
    if (
        not secrets_equal(row.secret_hash if row else "", hash_secret(secret))
        or row is None
        or row.revoked_at
        or row.maker_role is None
    ):
        raise InvalidTokenError("This API key is not valid. Make a new one or check for a typing mistake.")
    now = clock.now()
    if row.expires_at and row.expires_at <= now:
        raise TokenExpiredError("This API key has expired. Make a new one.")
    _note_key_use(row, now)
    return Principal(
        workspace_id=row.workspace_id,
        user_id=row.created_by,
        role=role_of_key(row.scopes, maker=cast(Role, row.maker_role)),
        scopes=frozenset(cast(list[Scope], row.scopes)),
        via="api_key",
        key_id=row.id,
    )


def _key_query(public_id: str) -> Query:
    """Select a key with the role its maker has in its workspace now; None: they belong to it no longer."""
    is_there = and_(User.id == ApiKey.created_by, User.deleted_at.is_(None))
    belongs = and_(Membership.user_id == User.id, Membership.workspace_id == ApiKey.workspace_id)
    return (
        select(
            ApiKey.id, ApiKey.workspace_id, ApiKey.created_by, ApiKey.secret_hash, ApiKey.scopes,
            ApiKey.expires_at, ApiKey.last_used_at, ApiKey.revoked_at, Membership.role.label("maker_role"),
        )
        .outerjoin(User, is_there)
        .outerjoin(Membership, belongs)
        .where(ApiKey.public_id == public_id)
    )  # fmt: skip


def authenticate_token(token: str, *, workspace_id: uuid.UUID | None = None) -> Principal:
    """Return the principal of an access token in a workspace; None: the person's own.

    Raises TokenExpiredError, InvalidTokenError, or ResourceNotFoundError for a workspace that is not theirs.
    """
    session_id = _session_of(token)
    row = _read_one(_session_query(session_id, workspace_id))
    if row is None or row.revoked_at or row.deleted_at:
        raise InvalidTokenError("This login has ended. Log in again.")
    if row.expires_at <= clock.now():
        raise TokenExpiredError("This login has expired. Log in again.")
    if row.role is None:
        raise ResourceNotFoundError(resource_type="Workspace", resource_id=workspace_id or "personal")
    return Principal(
        workspace_id=row.workspace_id,
        user_id=row.user_id,
        role=cast(Role, row.role),
        session_id=session_id,
    )


def _session_of(token: str) -> uuid.UUID:
    try:
        return uuid.UUID(decode_token(token)["sid"])
    except ExpiredSignatureError:
        raise TokenExpiredError from None
    except (PyJWTError, JWTExtendedException, KeyError, ValueError, TypeError, AttributeError):
        raise InvalidTokenError from None


def _session_query(session_id: uuid.UUID, workspace_id: uuid.UUID | None) -> Query:
    query = (
        select(
            LoginSession.expires_at,
            LoginSession.revoked_at,
            User.id.label("user_id"),
            User.deleted_at,
            Membership.workspace_id,
            Membership.role,
        )
        .join(User, User.id == LoginSession.user_id)
        .where(LoginSession.id == session_id)
    )
    if workspace_id is not None:
        return query.outerjoin(
            Membership, and_(Membership.user_id == User.id, Membership.workspace_id == workspace_id)
        )
    own = aliased(Workspace)
    return query.outerjoin(own, own.personal_user_id == User.id).outerjoin(
        Membership, and_(Membership.user_id == User.id, Membership.workspace_id == own.id)
    )


def _read_one(query: Query) -> Found | None:
    """Read on a connection of its own, so that no transaction is open when the view begins."""
    with read_only(), db.engine.connect() as connection:
        return connection.execute(query).first()


def _note_key_use(row: Found, now: datetime) -> None:
    """Write down that a key was used, at most once a minute, in a transaction of its own."""
    if row.last_used_at and row.last_used_at > now - KEY_USE_NOTED_EVERY:
        return
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - KEY_USE_NOTED_EVERY)
    try:
        with db.engine.begin() as connection:
            connection.execute(update(ApiKey).where(ApiKey.id == row.id, stale).values(last_used_at=now))
    except OperationalError:  # a busy database must not refuse a request over this
        logger.warning("The use of an API key could not be noted", extra={"key_id": str(row.id)})


# -- logging in and out


def log_in(*, email: str, password: str, user_agent: str = "") -> Login:
    """Begin a session. Throttle before calling: it hashes for about 0.1 s, outside any transaction.

    Raises AuthenticationError, the same and after the same time for a wrong password and an unknown person.
    """
    row = _read_one(
        select(User.id, User.password_hash).where(
            User.email == normalise_email(email), User.deleted_at.is_(None)
        )
    )
    if not verify_password(row.password_hash if row else None, password) or row is None:
        # A password typed into the wrong field must not be kept; addresses are masked on the way out.
        logger.warning("Failed login attempt", extra={"email": email if "@" in email else "not an address"})
        raise AuthenticationError("E-mail or password is wrong.")
    rehashed = hash_password(password) if password_needs_rehash(row.password_hash) else None
    if not User.lock_with(row.id, password_hash=row.password_hash):  # reset while it was hashed
        raise AuthenticationError("E-mail or password is wrong.")
    if rehashed:
        db.session.execute(update(User).where(User.id == row.id).values(password_hash=rehashed))
    return begin_session(row.id, user_agent=user_agent)


def begin_session(user_id: uuid.UUID, *, user_agent: str = "") -> Login:
    """Make a session for a person who has proved who they are, commit, and return its tokens."""
    now, secret = clock.now(), new_secret()
    session = LoginSession(
        id=new_id(),
        user_id=user_id,
        refresh_hash=hash_secret(secret),
        expires_at=now + timedelta(seconds=settings().refresh_token_seconds),
        last_used_at=now,
        user_agent=user_agent[:200],
    )
    db.session.add(session)
    db.session.commit()
    logger.info("User logged in", extra={"user_id": str(user_id)})
    return _login(user_id, session.id, secret)


def refresh(token: str) -> Login:
    """Exchange a refresh token for new tokens. Raises InvalidTokenError or TokenExpiredError.

    A token that was exchanged before ends the session: one of its two holders is a thief.
    """
    session_id, secret = _parse_refresh_token(token)
    now, fresh = clock.now(), new_secret()
    user_id = db.session.scalar(
        update(LoginSession)
        .where(
            LoginSession.id == session_id,
            LoginSession.refresh_hash == hash_secret(secret),
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > now,
            LoginSession.user_id.in_(select(User.id).where(User.deleted_at.is_(None))),
        )
        .values(
            refresh_hash=hash_secret(fresh),
            expires_at=now + timedelta(seconds=settings().refresh_token_seconds),
            last_used_at=now,
        )
        .returning(LoginSession.user_id)
        .execution_options(synchronize_session=False)
    )
    if user_id is None:
        _refuse_refresh(session_id, now)
    db.session.commit()
    return _login(user_id, session_id, fresh)


def log_out(session_id: uuid.UUID) -> None:
    """End a session at once: its access tokens too."""
    _end_session(session_id, clock.now())
    db.session.commit()


def normalise_email(email: str) -> str:
    """Return an address as it is stored and compared."""
    return email.strip().lower()


def _refuse_refresh(session_id: uuid.UUID, now: datetime) -> NoReturn:
    session = db.session.get(LoginSession, session_id)
    if session is None or session.revoked_at is not None:
        raise InvalidTokenError("This login has ended. Log in again.")
    if session.expires_at <= now:
        raise TokenExpiredError("This login has expired. Log in again.")
    user_id = session.user_id
    _end_session(session_id, now)
    db.session.commit()
    logger.warning("An old refresh token was used: session ended", extra={"user_id": str(user_id)})
    raise InvalidTokenError("This refresh token was used before, so its login was ended. Log in again.")


def _end_session(session_id: uuid.UUID, now: datetime) -> None:
    db.session.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )


def _parse_refresh_token(token: str) -> tuple[uuid.UUID, str]:
    prefix, _, rest = token.partition("_")
    session_id, _, secret = rest.partition("_")
    try:
        if prefix == REFRESH_PREFIX and secret:
            return uuid.UUID(session_id), secret
    except ValueError:
        pass
    raise InvalidTokenError("This refresh token is not valid. Log in again.")


def _login(user_id: uuid.UUID, session_id: uuid.UUID, secret: str) -> Login:
    return Login(
        user_id=user_id,
        access_token=create_access_token(str(user_id), additional_claims={"sid": str(session_id)}),
        refresh_token=f"{REFRESH_PREFIX}_{session_id.hex}_{secret}",
        expires_in=settings().access_token_seconds,
        refresh_expires_in=settings().refresh_token_seconds,
    )
