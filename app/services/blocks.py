"""A platform that lets an account post nothing at present: its channel is paused, so that its queue does not fail.

What is held waits as for anybody who paused the channel: resuming lets go of it, what is too late is missed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from sqlalchemy import update

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Channel, Event, Target
from app.models.event import EventData
from app.platforms.base import BLOCKED


def is_block(error: PlatformAPIError) -> bool:
    """Is it the whole account that the platform lets post nothing?"""
    return error.kind == "account" and error.details.get(BLOCKED) is True


def pause(errors: Iterable[tuple[uuid.UUID, PlatformAPIError]]) -> None:
    """Pause the channels that these errors found blocked, unless they are paused already, and say why. Commits."""
    found = {channel_id: error for channel_id, error in errors if is_block(error)}
    for channel_id in sorted(found):  # two workers never wait for each other
        _pause(channel_id, found[channel_id])
    if found:
        db.session.commit()


def _pause(channel_id: uuid.UUID, error: PlatformAPIError) -> None:
    workspace_id = db.session.scalar(
        update(Channel)
        .where(Channel.id == channel_id, Channel.paused_at.is_(None), Channel.status == "active")
        .values(paused_at=clock.now())
        .returning(Channel.workspace_id)
        .execution_options(synchronize_session=False)
    )
    if workspace_id is None:
        return
    why: EventData = {"reason": "account_blocked", "platform": error.platform, "message": error.message}
    if error.platform_code is not None:
        why["platform_code"] = error.platform_code
    Event.record("channel.paused", workspace_id=workspace_id, subject_id=channel_id, data=why)
    db.session.flush()
    Target.reckon_holds(Target.channel_id == channel_id)
