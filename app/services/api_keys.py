"""Keys for programs: made, listed, revoked. The secret part is shown once and kept as a hash."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update

from app import clock
from app.domain.principal import SCOPES, Principal
from app.exceptions import ResourceNotFoundError, ValidationError
from app.extensions import db
from app.models import ApiKey
from app.models.base import new_id
from app.models.page import Page, paginate
from app.security import hash_secret, new_api_key


@dataclass(frozen=True)
class MadeKey:
    """A key that was just made. `key` is the whole of it, and cannot be had again."""

    record: ApiKey
    key: str = field(repr=False)


def create_api_key(
    principal: Principal, *, name: str, scopes: Collection[str], expires_at: datetime | None = None
) -> MadeKey:
    """Make a key to the principal's workspace. Raises ValidationError when it would be born expired."""
    if expires_at is not None and expires_at <= clock.now():
        found = clock.isoformat(expires_at)
        raise ValidationError(details={"expires_at": [f"Found {found}, which is past. Give a later time."]})
    made = new_api_key()
    record = ApiKey(
        id=new_id(),
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        name=name,
        public_id=made.public_id,
        secret_hash=hash_secret(made.secret),
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=expires_at,
    )
    db.session.add(record)
    db.session.commit()
    return MadeKey(record, made.full)


def list_api_keys(principal: Principal, *, limit: int, cursor: str | None) -> Page[ApiKey]:
    """Return the workspace's keys that were not revoked, newest first."""
    query = select(ApiKey).where(ApiKey.workspace_id == principal.workspace_id, ApiKey.revoked_at.is_(None))
    return paginate(query, by=(ApiKey.id,), limit=limit, cursor=cursor)


def revoke_api_key(principal: Principal, key_id: uuid.UUID) -> None:
    """End a key at once. Raises ResourceNotFoundError when it is not one of the workspace's live keys."""
    ended = db.session.scalar(
        update(ApiKey)
        .where(
            ApiKey.id == key_id,
            ApiKey.workspace_id == principal.workspace_id,
            ApiKey.revoked_at.is_(None),
        )
        .values(revoked_at=clock.now())
        .returning(ApiKey.id)
        .execution_options(synchronize_session=False)
    )
    if ended is None:
        raise ResourceNotFoundError(resource_type="ApiKey", resource_id=key_id)
    db.session.commit()
