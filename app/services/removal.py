"""Taking a published post off its platform, because somebody wants it.

Deleting what is gone already is no error at any platform, so a call whose answer was lost may simply be made
again; besides, the watch asks after the post and sees it gone.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, or_, select

from app import clock
from app.domain import target_error
from app.domain.principal import Principal
from app.exceptions import PlatformAPIError, PlatformValidationError, StateConflictError
from app.extensions import db
from app.models import Attempt, Step, Target
from app.models.base import new_id
from app.platforms.base import Platform
from app.platforms.http import AnswerLost
from app.services import credentials, publishing, targets
from app.services.idempotency import Remember, forget
from app.services.platforms import noting_calls, registry

LOOK_AFTER = timedelta(minutes=1)  # when the watch asks whether it is gone, should we die meanwhile
TOKEN_MARGIN = timedelta(minutes=5)


def remove(principal: Principal, target_id: uuid.UUID, *, remember: Remember = forget) -> Target:
    """Delete a published target's post; one that was removed before is returned as it is.

    Raises StateConflictError for a target that is not published, PlatformValidationError where the platform
    lets nobody delete by program, PlatformAPIError when it refused or did not answer.
    """
    target = targets.get(principal, target_id)
    if target.state == "removed":
        return target
    platform = registry().get(target.platform)
    _check(target, platform)
    credential_id = target.channel.credential_id
    db.session.rollback()
    credentials.ensure_fresh(credential_id, until=clock.now() + TOKEN_MARGIN)
    row = db.session.execute(publishing.whole().where(Target.id == target_id)).one()
    attempt_id = _announce(row)
    _delete(row, platform, attempt_id)
    return _removed(row.Target, remember)


def _check(target: Target, platform: Platform) -> None:
    if target.state != "published":
        message = f"This target is {target.state}; only one that is published can be removed."
        raise StateConflictError(message, {"state": target.state, "allowed": ["published"]})
    if not platform.can_remove:
        raise PlatformValidationError(
            f"{platform.label} lets nobody delete posts by program. Delete it there by hand.",
            {"platform": platform.name, "permalink": target.permalink},
        )
    if target.remote_id is None:
        raise StateConflictError(
            "The post's id at the platform is not known (yet). Delete it there by hand, or try again later.",
            {"state": target.state, "permalink": target.permalink},
        )


def _announce(row: Row[*tuple[Any, ...]]) -> uuid.UUID:
    """Write the ledger row of the call about to be made, and have the post looked after. Commits."""
    target: Target = row.Target
    attempt = Attempt(
        id=new_id(),
        workspace_id=target.workspace_id,
        target_id=target.id,
        operation="remove",
        fence=target.fence,
    )
    db.session.add(attempt)
    attempt_id = attempt.id
    Target.take_back([target.ref], states={"published"}, next_at=clock.now() + LOOK_AFTER)
    db.session.flush()
    db.session.expunge_all()
    db.session.commit()
    return attempt_id


def _delete(row: Row[*tuple[Any, ...]], platform: Platform, attempt_id: uuid.UUID) -> None:
    """Make the call and complete its ledger row, in a transaction that is left open unless it was refused."""
    account = publishing.account_of(row.Channel, row.Credential)
    called_at = clock.now()
    with noting_calls() as noted:
        try:
            platform.remove(account, row.Target.remote_id)
        except PlatformAPIError as error:
            facts = {"called_at": called_at, "details": {"calls": noted}}
            Attempt.complete(attempt_id, outcome=type(error).__name__, error=error.to_dict(), **facts)
            db.session.commit()
            if error.kind == "reauth":
                used, channel_id = row.Credential.refreshed_at, row.Channel.id
                credentials.doubt(row.Credential.id, error, used=used, channel_id=channel_id)
            raise
    Attempt.complete(attempt_id, outcome="Removed", called_at=called_at, details={"calls": noted})


def _removed(target: Target, remember: Remember) -> Target:
    """Write down that the post is gone, whoever works on the target. Commits."""
    error = target_error.removed_by_user(target.platform)
    moved = Target.move(
        target.ref, before={"published"}, after="removed", fenced=False, next_at=None, error=error
    )
    if moved:
        Step.stop(target.id)
    return targets.finish(target.id, remember)


def was_wanted(target_id: uuid.UUID) -> bool:
    """Did somebody ask for the post's removal without an answer? Then the watch that misses it knows why."""
    unanswered = or_(Attempt.outcome.is_(None), Attempt.outcome == AnswerLost.__name__)
    query = select(Attempt.id).where(
        Attempt.target_id == target_id, Attempt.operation == "remove", unanswered
    )
    return db.session.scalar(query.limit(1)) is not None
