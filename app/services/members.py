"""Who belongs to a workspace, and as what. There is always an owner.

Whoever changes that locks the workspace first, so that two owners cannot leave at the same moment.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from app import clock
from app.domain.principal import Principal, Role
from app.exceptions import AuthorizationError, ResourceNotFoundError, StateConflictError
from app.extensions import db
from app.models import ApiKey, Event, Membership, User, Workspace
from app.models.event import EventData
from app.models.page import Page, paginate
from app.services import workspaces
from app.services.idempotency import Remember, forget


@dataclass(frozen=True)
class Member:
    """A person in a workspace."""

    user_id: uuid.UUID
    email: str
    name: str
    role: str
    joined_at: datetime


def list_members(principal: Principal, *, limit: int, cursor: str | None = None) -> Page[Member]:
    """Return the workspace's members, longest first."""
    query = select(Membership).where(Membership.workspace_id == principal.workspace_id)
    page = paginate(query, by=(Membership.id,), limit=limit, cursor=cursor, newest_first=False)
    return Page(_shown(page.data), page.next_cursor)


def _shown(memberships: Sequence[Membership]) -> list[Member]:
    people = select(User).where(User.id.in_([row.user_id for row in memberships]))
    users = {user.id: user for user in db.session.scalars(people)}
    return [
        Member(row.user_id, users[row.user_id].email, users[row.user_id].name, row.role, row.created_at)
        for row in memberships
    ]


def set_role(principal: Principal, user_id: uuid.UUID, *, role: Role) -> Member:
    """Give a member another role. Raises StateConflictError when no owner would be left."""
    workspaces.get(principal, lock=True)
    _check_still_owner(principal)
    member = _get(principal, user_id)
    if member.role == "owner" and role != "owner":
        _check_another_owner(principal)
    member.role = role
    _tell(principal, "member.updated", user_id, role=role)
    (shown,) = _shown([member])
    db.session.commit()
    return shown


def remove(principal: Principal, user_id: uuid.UUID) -> None:
    """Take a member out, or leave oneself. The keys they made to this workspace end with it.

    Raises AuthorizationError for somebody else's membership unless the caller owns the workspace, and
    StateConflictError for the last owner and for the person whose own workspace this is.
    """
    if user_id != principal.user_id and principal.role != "owner":
        raise AuthorizationError(
            "Only an owner takes others out of a workspace.",
            {"required_role": "owner", "role": principal.role},
        )
    workspace = workspaces.get(principal, lock=True)
    if user_id != principal.user_id:
        _check_still_owner(principal)
    member = _get(principal, user_id)
    _check_may_leave(workspace, user_id)
    if member.role == "owner":
        _check_another_owner(principal)
    db.session.delete(member)
    end_keys(ApiKey.created_by == user_id, ApiKey.workspace_id == workspace.id)
    _tell(principal, "member.removed", user_id)
    db.session.commit()


def transfer(principal: Principal, user_id: uuid.UUID, *, remember: Remember = forget) -> Member:
    """Make another member the owner; whoever asks becomes an editor."""
    assert principal.user_id is not None  # people only
    workspace = workspaces.get(principal, lock=True)
    _check_still_owner(principal)
    member, own = _get(principal, user_id), _get(principal, principal.user_id)
    _check_may_leave(workspace, principal.user_id)
    own.role = "editor"
    member.role = "owner"
    _tell(principal, "member.updated", user_id, role="owner")
    (shown,) = _shown([member])
    remember(shown)
    db.session.commit()
    return shown


def end_keys(*where: Any) -> None:
    """Revoke the live keys that match, in the caller's transaction."""
    db.session.execute(
        update(ApiKey)
        .where(ApiKey.revoked_at.is_(None), *where)
        .values(revoked_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def _get(principal: Principal, user_id: uuid.UUID) -> Membership:
    member = db.session.scalar(
        select(Membership).where(
            Membership.workspace_id == principal.workspace_id, Membership.user_id == user_id
        )
    )
    if member is None:
        raise ResourceNotFoundError(resource_type="Member", resource_id=user_id)
    return member


def _check_still_owner(principal: Principal) -> None:
    """Look again under the workspace's lock: another request may have ended the caller's role meanwhile."""
    here = Membership.workspace_id == principal.workspace_id
    role = db.session.scalar(select(Membership.role).where(here, Membership.user_id == principal.user_id))
    if role != "owner":
        db.session.rollback()
        raise AuthorizationError(
            "Only an owner may do this, and you are none any more.", {"required_role": "owner", "role": role}
        )


def _check_may_leave(workspace: Workspace, user_id: uuid.UUID) -> None:
    if workspace.personal_user_id == user_id:
        raise StateConflictError(
            "This is the person's own workspace; it stays theirs. Delete the account to end it.",
            {"personal_user_id": str(user_id)},
        )


def _check_another_owner(principal: Principal) -> None:
    owners = select(func.count()).where(
        Membership.workspace_id == principal.workspace_id, Membership.role == "owner"
    )
    if db.session.scalar(owners) == 1:
        raise StateConflictError(
            "A workspace needs an owner. Make somebody else an owner first.",
            {"owners": 1, "allowed": "two or more"},
        )


def _tell(principal: Principal, event: str, user_id: uuid.UUID, *, role: Role | None = None) -> None:
    data: EventData = {} if role is None else {"role": role}
    Event.record(event, workspace_id=principal.workspace_id, subject_id=user_id, data=data)
