"""A person's account: its password, changed or forgotten, and its end.

A reset token is signed and says whose password it resets and which one: the moment the password changes,
every token for the old one is worthless. Nothing is stored.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy import func, select, update

from app import clock
from app.domain.principal import Principal
from app.exceptions import AuthorizationError, InvalidTokenError, StateConflictError, ValidationError
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models import ApiKey, LoginSession, Membership, User, Workspace
from app.security import LinkSigner, hash_password, hash_secret, verify_password
from app.services import mails, members, sessions
from app.services.auth import normalise_email

logger = get_logger(__name__)
RESET_LIFE = timedelta(hours=1)
PURPOSE = "password-reset"


def change_password(principal: Principal, *, current_password: str, new_password: str) -> None:
    """Change the caller's password and end their other logins. Throttle before: it hashes.

    Raises ValidationError for a wrong current password.
    """
    user, stored = _check_password(principal, current_password, field="current_password")
    hashed = hash_password(new_password)
    _hold(user, stored)
    _set_password(user, hashed)
    db.session.execute(sessions.others_of(principal))
    db.session.commit()
    logger.info("Password changed", extra={"user_id": str(user)})


def request_reset(*, email: str) -> None:
    """Mail a token to whoever has this address, if somebody does; nobody learns whether. Throttle before."""
    row = db.session.execute(
        select(User.id, User.password_hash, User.email).where(
            User.email == normalise_email(email), User.deleted_at.is_(None)
        )
    ).first()
    if row is not None:
        token = _signer().sign(
            {"u": str(row.id), "h": _fingerprint(row.password_hash)},
            purpose=PURPOSE,
            expires_at=clock.now() + RESET_LIFE,
        )
        mails.post("password_reset", to=row.email, facts={"token": token, "minutes": 60})
    db.session.commit()


def reset_password(*, token: str, password: str) -> None:
    """Set a new password with a mailed token and end every login. Raises InvalidTokenError."""
    user_id, fingerprint = _read(token)
    hashed = hash_password(password)
    user = db.session.scalar(
        select(User).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update()
    )
    if user is None or _fingerprint(user.password_hash) != fingerprint:
        raise InvalidTokenError("This reset was used or has been replaced. Ask for a new one.")
    user.password_hash = hashed
    db.session.execute(sessions.ending(LoginSession.user_id == user_id))
    db.session.commit()
    logger.info("Password reset", extra={"user_id": str(user_id)})


def delete(principal: Principal, *, password: str) -> None:
    """End the caller's account: logins and the keys they made stop at once, name and address are forgotten.

    Their own workspace and what is in it stays until an operator removes it, paused. Raises
    StateConflictError while they are the only owner of a workspace that others belong to.
    """
    user_id, stored = _check_password(principal, password, field="password")
    _check_not_needed(user_id)
    _hold(user_id, stored)
    own = select(Workspace.id).where(Workspace.personal_user_id == user_id)
    db.session.execute(update(Workspace).where(Workspace.id.in_(own)).values(paused_at=clock.now()))
    for membership in db.session.scalars(select(Membership).where(Membership.user_id == user_id)):
        db.session.delete(membership)
    gone = {
        "deleted_at": clock.now(),
        "email": f"{user_id}@deleted.invalid",
        "name": "",
        "password_hash": None,
    }
    db.session.execute(update(User).where(User.id == user_id).values(**gone))
    db.session.execute(sessions.ending(LoginSession.user_id == user_id))
    members.end_keys(ApiKey.created_by == user_id)
    db.session.commit()
    logger.info("Account deleted", extra={"user_id": str(user_id)})


def _check_password(principal: Principal, password: str, *, field: str) -> tuple[uuid.UUID, str]:
    """Return whose password it is, and its hash as it was checked."""
    user = db.session.get_one(User, principal.user_id)
    stored, user_id = user.password_hash, user.id
    db.session.rollback()  # hashing takes 0.1 s: no transaction is open meanwhile
    if not verify_password(stored, password):
        raise ValidationError(details={field: ["This is not your password."]})
    return user_id, str(stored)


def _hold(user_id: uuid.UUID, stored: str) -> None:
    """Lock the person. Raises StateConflictError when the password that was checked is theirs no longer."""
    if not User.lock_with(user_id, password_hash=stored):
        db.session.rollback()
        raise StateConflictError("Your password was changed at the same moment. Log in again.")


def _set_password(user_id: uuid.UUID, hashed: str) -> None:
    db.session.execute(
        update(User)
        .where(User.id == user_id)
        .values(password_hash=hashed)
        .execution_options(synchronize_session=False)
    )


def _check_not_needed(user_id: uuid.UUID) -> None:
    """Raise StateConflictError while a workspace with other members would be left without an owner."""
    owned = select(Membership.workspace_id).where(Membership.user_id == user_id, Membership.role == "owner")
    held = db.session.scalars(
        select(Workspace).where(Workspace.id.in_(owned)).order_by(Workspace.id).with_for_update()
    ).all()
    for workspace in held:
        here = Membership.workspace_id == workspace.id
        others = db.session.scalar(select(func.count()).where(here, Membership.user_id != user_id))
        owners = db.session.scalar(
            select(func.count()).where(here, Membership.role == "owner", Membership.user_id != user_id)
        )
        if others and not owners:
            raise StateConflictError(
                f"You are the only owner of {workspace.name!r}, which others use. Make one of them an owner.",
                {"workspace_id": str(workspace.id), "members": others},
            )


def _read(token: str) -> tuple[uuid.UUID, str]:
    try:
        payload = _signer().verify(token, purpose=PURPOSE, at=clock.now())
        return uuid.UUID(payload["u"]), payload["h"]
    except (AuthorizationError, KeyError, ValueError, TypeError):
        raise InvalidTokenError("This reset is not valid or has expired. Ask for a new one.") from None


def _fingerprint(password_hash: str | None) -> str:
    return hash_secret(password_hash or "")[:32]


def _signer() -> LinkSigner:
    return LinkSigner(settings().secret_key)
