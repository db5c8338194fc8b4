"""A person's logins: where they are logged in, and ending those they do not know."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Update, select, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import ResourceNotFoundError
from app.extensions import db
from app.models import LoginSession
from app.models.page import Page, paginate


@dataclass(frozen=True)
class Session:
    """A login as its person sees it."""

    id: uuid.UUID
    user_agent: str
    is_current: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


def list_sessions(principal: Principal, *, limit: int, cursor: str | None = None) -> Page[Session]:
    """Return the caller's live logins, newest first."""
    query = select(LoginSession).where(LoginSession.user_id == principal.user_id, *_live())
    page = paginate(query, by=(LoginSession.id,), limit=limit, cursor=cursor)
    return Page([_shown(row, principal) for row in page.data], page.next_cursor)


def _shown(row: LoginSession, principal: Principal) -> Session:
    return Session(
        id=row.id,
        user_agent=row.user_agent,
        is_current=row.id == principal.session_id,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
    )


def end(principal: Principal, session_id: uuid.UUID) -> None:
    """End one of the caller's logins at once. Raises ResourceNotFoundError for any other."""
    ended = db.session.scalar(
        ending(LoginSession.id == session_id, LoginSession.user_id == principal.user_id).returning(
            LoginSession.id
        )
    )
    if ended is None:
        raise ResourceNotFoundError(resource_type="Session", resource_id=session_id)
    db.session.commit()


def end_others(principal: Principal) -> None:
    """End all of the caller's logins but the one that asks."""
    db.session.execute(others_of(principal))
    db.session.commit()


def others_of(principal: Principal) -> Update:
    """Return the statement that ends the caller's other logins."""
    return ending(LoginSession.user_id == principal.user_id, LoginSession.id != principal.session_id)


def ending(*where: Any) -> Update:
    """Return the statement that ends the live logins that match."""
    return (
        update(LoginSession)
        .where(*where, *_live())
        .values(revoked_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def _live() -> tuple[Any, ...]:
    return LoginSession.revoked_at.is_(None), LoginSession.expires_at > clock.now()
