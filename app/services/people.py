"""People: registering (freely, by invitation, or as the very first), inviting, and what they belong to."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Row, delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError

from app import clock
from app.domain.principal import Principal, Role
from app.exceptions import (
    AuthorizationError,
    InvalidTokenError,
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    ValidationError,
)
from app.extensions import db, read_only, settings
from app.logging_config import get_logger
from app.models import Event, Invitation, Membership, User, Workspace
from app.models.base import new_id
from app.models.page import Page, paginate
from app.security import hash_password, hash_secret, new_secret
from app.services import mails
from app.services.auth import normalise_email
from app.services.idempotency import Remember, forget

logger = get_logger(__name__)

INVITATION_LIFE = timedelta(days=7)
REGISTRATION_LOCK = 0x76735F72  # any number that nothing else in the database locks


@dataclass(frozen=True)
class Belonging:
    """A workspace a person belongs to, and as what."""

    id: uuid.UUID
    name: str
    role: str
    is_personal: bool


@dataclass(frozen=True)
class NewInvitation:
    """An invitation and the token that accepts it, shown once."""

    id: uuid.UUID
    email: str
    role: str
    expires_at: datetime
    token: str = field(repr=False)


def register(*, email: str, password: str, name: str = "", invitation_token: str | None = None) -> uuid.UUID:
    """Make a person with a workspace of their own and return the person's id.

    Whoever comes first may always register. Afterwards the setting REGISTRATION decides, or an invitation,
    which also makes them a member of the inviting workspace. Raises AuthorizationError,
    InvalidTokenError (of the invitation) or ResourceAlreadyExistsError. Throttle before: it hashes.
    """
    if invitation_token is None:
        _check_open_early()
    password_hash = hash_password(password)
    _lock_registration()
    if invitation_token is None:
        _check_open()
        invitation = None
    else:  # first: whoever has none must not learn who is registered here
        invitation = _accept(invitation_token, email=email)
    user_id = _add_person(email=email, password_hash=password_hash, name=name)
    if invitation is not None:
        _join(user_id, invitation)
    db.session.commit()
    logger.info("User registered successfully", extra={"user_id": str(user_id)})
    return user_id


def create_user(*, email: str, password: str, name: str = "") -> uuid.UUID:
    """Make a person whatever REGISTRATION says: for whoever runs this installation."""
    password_hash = hash_password(password)
    user_id = _add_person(email=email, password_hash=password_hash, name=name)
    db.session.commit()
    return user_id


def invite(principal: Principal, *, email: str, role: Role, remember: Remember = forget) -> NewInvitation:
    """Invite an address to the principal's workspace. The token is returned once, and mailed where that works."""
    token = new_secret()
    invitation = Invitation(
        id=new_id(),
        workspace_id=principal.workspace_id,
        email=normalise_email(email),
        role=role,
        token_hash=hash_secret(token),
        expires_at=clock.now() + INVITATION_LIFE,
        invited_by=principal.user_id,
    )
    made = NewInvitation(invitation.id, invitation.email, role, invitation.expires_at, token)
    db.session.add(invitation)
    if mails.is_possible():
        _mail_invitation(principal, made)
    remember(made)
    db.session.commit()
    return made


def _mail_invitation(principal: Principal, made: NewInvitation) -> None:
    inviter = db.session.get_one(User, principal.user_id)
    facts: dict[str, str | int] = {
        "token": made.token,
        "inviter": _in_one_line(inviter.name) or inviter.email,
        "workspace": _in_one_line(db.session.get_one(Workspace, principal.workspace_id).name),
        "role": made.role,
        "days": INVITATION_LIFE.days,
    }
    mails.post("invitation", to=made.email, facts=facts)


def _in_one_line(text: str) -> str:
    """Return a name that can add no lines of its own to a mail."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def list_invitations(principal: Principal, *, limit: int, cursor: str | None = None) -> Page[Invitation]:
    """Return the workspace's invitations nobody has accepted yet, newest first; without their tokens."""
    query = select(Invitation).where(
        Invitation.workspace_id == principal.workspace_id,
        *_stands(clock.now()),
    )
    return paginate(query, by=(Invitation.id,), limit=limit, cursor=cursor)


def withdraw_invitation(principal: Principal, invitation_id: uuid.UUID) -> None:
    """Take an invitation back. Raises ResourceNotFoundError when it is not one of the workspace's open ones."""
    gone = db.session.scalar(
        delete(Invitation)
        .where(
            Invitation.id == invitation_id,
            Invitation.workspace_id == principal.workspace_id,
            Invitation.accepted_at.is_(None),
        )
        .returning(Invitation.id)
    )
    if gone is None:
        raise ResourceNotFoundError(resource_type="Invitation", resource_id=invitation_id)
    db.session.commit()


def accept_invitation(principal: Principal, *, token: str, remember: Remember = forget) -> Belonging:
    """Join the workspace an invitation is for, as somebody who is registered already.

    Raises InvalidTokenError, ValidationError when it was made for another address, and
    ResourceAlreadyExistsError for a member (the invitation stays good).
    """
    user = db.session.get_one(User, principal.user_id)
    invitation = _accept(token, email=user.email)
    try:
        _join(user.id, invitation)
    except IntegrityError:
        db.session.rollback()
        raise ResourceAlreadyExistsError("You belong to this workspace already.") from None
    workspace = db.session.get_one(Workspace, invitation.workspace_id)
    joined = Belonging(workspace.id, workspace.name, invitation.role, is_personal=False)
    remember(joined)
    db.session.commit()
    return joined


def get_user(user_id: uuid.UUID | None) -> User | None:
    """Return a person who was not deleted; None when there is none."""
    found = db.session.get(User, user_id) if user_id else None
    return found if found and found.deleted_at is None else None


def workspaces_of(principal: Principal) -> list[Belonging]:
    """Return the workspaces the principal may use: a person's own first; a key's only one."""
    member = Membership.user_id == principal.user_id
    if principal.via == "api_key":
        row = db.session.get(Workspace, principal.workspace_id)
        if row is None:
            raise ResourceNotFoundError(resource_type="Workspace", resource_id=principal.workspace_id)
        return [Belonging(row.id, row.name, principal.role, bool(row.personal_user_id))]
    query = select(Workspace, Membership.role).join(Membership, Membership.workspace_id == Workspace.id)
    found = [
        Belonging(row.id, row.name, role, row.personal_user_id == principal.user_id)
        for row, role in db.session.execute(query.where(member).order_by(Workspace.id))
    ]
    return sorted(found, key=lambda belonging: not belonging.is_personal)


def is_nobody_here() -> bool:
    """Has nobody registered yet?"""
    return not db.session.scalar(select(exists().select_from(User)))


def _check_open() -> None:
    """Raise AuthorizationError unless anybody may register, or nobody has yet."""
    if settings().registration == "open" or is_nobody_here():
        return
    if settings().registration == "invitation":
        raise AuthorizationError("Registration is by invitation here. Ask a member to invite you.")
    raise AuthorizationError("Registration is closed here.")


def _check_open_early() -> None:
    """Save the hash where registration is closed; what counts is asked again under the lock."""
    with read_only():
        try:
            _check_open()
        finally:
            db.session.rollback()


def _lock_registration() -> None:
    """Let one registration run at a time, so that two at once are not both the first.

    SQLite does so by itself: its writing transactions begin with the write lock.
    """
    if db.engine.dialect.name == "postgresql":
        db.session.execute(select(func.pg_advisory_xact_lock(REGISTRATION_LOCK)))


def _add_person(*, email: str, password_hash: str, name: str) -> uuid.UUID:
    address, user_id, workspace_id = normalise_email(email), new_id(), new_id()
    db.session.add(User(id=user_id, email=address, name=name, password_hash=password_hash))
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        raise ResourceAlreadyExistsError(
            "Somebody with this e-mail address is registered already. Log in instead.", {"field": "email"}
        ) from None
    workspace = f"{name or address.partition('@')[0]}'s workspace"
    db.session.add(Workspace(id=workspace_id, name=workspace, personal_user_id=user_id))
    db.session.flush()
    db.session.add(Membership(workspace_id=workspace_id, user_id=user_id, role="owner"))
    db.session.flush()
    return user_id


def _join(user_id: uuid.UUID, invitation: Row[uuid.UUID, str, str]) -> None:
    """Make a person a member of the inviting workspace, and tell it. Raises IntegrityError for a member."""
    workspace_id, role, _ = invitation
    db.session.add(Membership(workspace_id=workspace_id, user_id=user_id, role=role))
    db.session.flush()
    Event.record("member.joined", workspace_id=workspace_id, subject_id=user_id, data={"role": role})


def _stands(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Match invitations that still let somebody in: whoever may not invite any more lets nobody in later."""
    inviter = exists().where(
        Membership.workspace_id == Invitation.workspace_id,
        Membership.user_id == Invitation.invited_by,
        Membership.role == "owner",
    )
    return Invitation.accepted_at.is_(None), Invitation.expires_at > now, inviter


def _accept(token: str, *, email: str) -> Row[uuid.UUID, str, str]:
    """Use an invitation up and return it. Raises InvalidTokenError; ValidationError when it is another address's."""
    now = clock.now()
    invited_to = select(Invitation.workspace_id).where(Invitation.token_hash == hash_secret(token))
    # Whoever ends the last owner's account at this moment counts the members under the same lock.
    db.session.execute(
        select(Workspace.id).where(Workspace.id == invited_to.scalar_subquery()).with_for_update()
    )
    row = db.session.execute(
        update(Invitation)
        .where(
            Invitation.token_hash == hash_secret(token),
            *_stands(now),
        )
        .values(accepted_at=now)
        .returning(Invitation.workspace_id, Invitation.role, Invitation.email)
        .execution_options(synchronize_session=False)
    ).first()
    if row is None:
        db.session.rollback()
        raise InvalidTokenError(
            "This invitation is not valid: it was used, has expired, was mistyped, or whoever sent it may not "
            "invite any more."
        )
    if row.email != normalise_email(email):
        db.session.rollback()
        raise ValidationError(details={"email": ["This invitation was made for another address."]})
    return row
