"""What an account may post at present: asked from its platform, kept, and held against what is scheduled.

Nothing is ever replaced by something similar: what the platform does not offer is a problem with its choices.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update

from app import clock
from app.domain.principal import Principal
from app.exceptions import PlatformAPIError, StateConflictError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Channel, Credential
from app.models.base import JsonObject
from app.platforms.base import Account, Platform, PostingOptions
from app.services import credentials, grants, publishing
from app.services.platforms import registry

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(minutes=1)


def ask(principal: Principal, channel_id: uuid.UUID) -> dict[str, Any]:
    """Ask what the channel may post now, keep it and return it with `checked_at`.

    Raises StateConflictError for a disconnected channel, PlatformAPIError when the platform does not tell.
    """
    channel = Channel.get_owned(channel_id, workspace_id=principal.workspace_id)
    if channel.status == "disconnected":
        raise StateConflictError(
            "This channel is disconnected. Connect it again first.", {"status": channel.status}
        )
    return _ask(channel)


def ask_again(channel_id: uuid.UUID) -> None:
    """Ask and keep what a channel may post, as far as that is possible now."""
    channel = db.session.get(Channel, channel_id)
    if channel is None or channel.status != "active":
        return
    try:
        _ask(channel)
    except PlatformAPIError as error:
        logger.warning("what channel %s may post is not known: %s", channel_id, error.message)


def _ask(channel: Channel) -> dict[str, Any]:
    channel_id, credential_id, adapter = channel.id, channel.credential_id, registry().get(channel.platform)
    db.session.rollback()
    credentials.ensure_fresh(credential_id, until=clock.now() + TOKEN_MARGIN)
    account, refreshed_at = _account(channel_id, credential_id)
    asked_at = clock.now()
    try:
        found = adapter.posting_options(account)
    except PlatformAPIError as error:
        if error.kind == "reauth":
            credentials.doubt(credential_id, error, used=refreshed_at, channel_id=channel_id)
        raise
    _keep(channel_id, found, asked_at=asked_at)
    return asdict(found) | {"checked_at": asked_at}


def _account(channel_id: uuid.UUID, credential_id: uuid.UUID) -> tuple[Account, datetime | None]:
    channel = db.session.get_one(Channel, channel_id, populate_existing=True)
    credential = db.session.get_one(Credential, credential_id, populate_existing=True)
    found = publishing.account_of(channel, credential), credential.refreshed_at
    db.session.rollback()
    return found


def _keep(channel_id: uuid.UUID, found: PostingOptions, *, asked_at: datetime) -> None:
    """Store the answer unless a later question was answered first. Commits."""
    values: JsonObject = grants.plain(asdict(found))
    values["resets_at"] = clock.isoformat(found.resets_at) if found.resets_at else None
    older = Channel.posting_at.is_(None) | (Channel.posting_at <= asked_at)
    db.session.execute(
        update(Channel)
        .where(Channel.id == channel_id, Channel.status != "disconnected", older)
        .values(posting=values, posting_at=asked_at)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()


def problems(
    platform: Platform, options: Mapping[str, Any], *, channel: Channel, length: float | None
) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong) of what the platform did not offer the channel when it was asked last.

    `length` is that of what goes out, in seconds.
    """
    if channel.posting is None or channel.posting_at is None:
        return
    told, since = channel.posting, clock.isoformat(channel.posting_at)
    again = f"(asked at {since}; GET /channels/{channel.id}/posting-options asks again)"
    for name, offered in told["choices"].items():
        found = options.get(name)
        if found is not None and found not in offered:
            choices = ", ".join(offered) or "nothing"
            message = f"{platform.label} does not offer {found} to this account at present, but: {choices}"
            yield f"options.{name}", f"{message} {again}."
    for name in told["disabled"]:
        if options.get(name):
            message = f"{platform.label} does not let this account turn on {name} at present"
            yield f"options.{name}", f"{message} {again}. Leave it out."
    longest = told["max_duration_seconds"]
    if longest is not None and length is not None and length > longest:
        message = f"The video is {length:.1f} s long; {platform.label} takes {longest:g} s from this account"
        yield "video_id", f"{message} {again}. Choose fit.start and fit.end, or another video."
