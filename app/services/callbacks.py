"""What platforms tell us by themselves. Hints only: nothing is believed but that asking is worth while.

A callback may come twice, late, out of order, or never; polling finds the same out without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, select, update

from app import clock
from app.exceptions import AuthorizationError, PlatformAuthError, ResourceNotFoundError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Channel, Credential, Target
from app.monitoring import track_platform_callback
from app.platforms.base import Callback, Notice, Platform, Received
from app.queue import wake_dispatcher
from app.services import credentials, deletion
from app.services.platforms import registry

logger = get_logger(__name__)
MOST_TARGETS = 20  # asked about for one account: platforms count these questions too
MOST_AT_ONCE = 500  # for one callback, which may speak of a thousand accounts
REVOKED = "The account's owner took the consent back at the platform. Reconnect the channel."


def receive(name: str, callback: Callback) -> str | dict[str, str]:
    """Act on a platform's callback and return what to answer: a text, or an object for JSON.

    Raises ResourceNotFoundError when no platform takes such callbacks, AuthorizationError when this one does
    not prove that it is the platform's. Commits.
    """
    adapter = _adapter(name, callback.purpose)
    received = _proven(adapter, callback)
    platforms = [adapter.name, *_others_of_the_app(adapter, callback)]
    answer: str | dict[str, str] = received.answer
    for notice in received.notices:
        if notice.what == "delete":
            answer = deletion.forget(platforms, notice.id, at=notice.at)
        elif notice.what == "revoked":
            _end_consent(platforms, notice)
    changed = {notice.id for notice in received.notices if notice.what == "changed"}
    if changed:
        _ask_soon(adapter.name, changed)
    return answer


def _adapter(name: str, purpose: str) -> Platform:
    if name not in registry().names() or purpose not in registry().get(name).callbacks:
        raise ResourceNotFoundError(resource_type="Callback", resource_id=f"{name}/{purpose}")
    return registry().get(name)


def _proven(adapter: Platform, callback: Callback) -> Received:
    """Let the adapter prove the callback; neither its body nor whom it is about is logged."""
    labels = {"platform": adapter.name, "purpose": callback.purpose}
    try:
        received = adapter.receive(callback)
    except AuthorizationError as error:
        track_platform_callback(**labels, status="refused")
        logger.warning("refused a callback", extra=labels | {"reason": error.message})
        raise
    track_platform_callback(**labels, status="accepted")
    logger.info("callback", extra=labels | {"notices": Counter(notice.what for notice in received.notices)})
    return received


def _others_of_the_app(adapter: Platform, callback: Callback) -> list[str]:
    """Return the other platforms this is said of: an app that serves several has one address to say it to.

    Whether it is the same app shows in that the other platform finds the callback proven as well.
    """
    if callback.purpose == "webhook":
        return []
    others = [registry().get(name) for name in registry().names() if name != adapter.name]
    return [
        other.name for other in others if callback.purpose in other.callbacks and _proves(other, callback)
    ]


def _proves(adapter: Platform, callback: Callback) -> bool:
    try:
        adapter.receive(callback)
    except AuthorizationError:
        return False
    return True


# -- something changed


def _ask_soon(platform: str, accounts: Collection[str]) -> None:
    """Make targets of these accounts due that are asked about anyway, as far as nobody works on them. Commits."""
    now = clock.now()
    hurried = db.session.execute(
        update(Target)
        .where(Target.id.in_(_worth_asking(platform, accounts, now)), *_may_be_hurried(now))
        .values(next_at=now)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
    if hurried.rowcount:  # type: ignore[attr-defined]
        wake_dispatcher()


def _worth_asking(platform: str, accounts: Collection[str], now: datetime) -> Any:
    urgency = case({"confirming": 0, "awaiting_user": 1}, value=Target.state, else_=2)
    return (
        select(Target.id)
        .join(Channel, Channel.id == Target.channel_id)
        .where(Channel.platform == platform, Channel.remote_id.in_(accounts), *_may_be_hurried(now))
        .order_by(urgency, Target.next_at)
        .limit(min(MOST_TARGETS * len(accounts), MOST_AT_ONCE))
    )


def _may_be_hurried(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Match targets waiting for the platform. Those waiting for a late effect of our own call must wait on.

    After a cut-off call `asked` is 0 until the first question: asked earlier, the platform could say "not
    committed" of a call that is still on its way, and the post would go out twice.
    """
    waits_for_platform = (Target.state == "confirming") & (Target.asked > 0)
    return (
        waits_for_platform | Target.state.in_(["awaiting_user", "published"]),
        Target.next_at > now,
        Target.lease_until.is_(None) | (Target.lease_until <= now),
    )


# -- a consent ended


def _end_consent(platforms: Sequence[str], notice: Notice) -> None:
    """Mark the person's grants dead, but for those renewed since: a grant that ended cannot be renewed. Commits."""
    older = deletion.was_given_by(notice.at)
    grants = db.session.execute(
        select(Credential.id, Credential.platform).where(
            deletion.is_of(platforms, notice.id), Credential.status == "active"
        )
    ).all()
    db.session.commit()
    for credential_id, platform in grants:
        credentials.mark_dead(credential_id, PlatformAuthError(REVOKED, platform=platform), older)
