"""Where one video fits: asked before a post is made. Writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from app.domain.principal import Principal
from app.domain.wish import Wish
from app.exceptions import StateConflictError, ValidationError
from app.extensions import db
from app.models import Channel, Video
from app.models.base import JsonObject
from app.services import fits
from app.services.fits import Place
from app.services.platforms import registry


@dataclass(frozen=True)
class _Asked:
    channel: Channel | None
    place: Place


def report(
    principal: Principal,
    video_id: uuid.UUID,
    *,
    wish: Wish,
    channel_id: uuid.UUID | None = None,
    platform: str | None = None,
) -> list[JsonObject]:
    """Return a verdict for the channel or platform, or for each channel; without channels for each platform.

    Verdicts that share a recipe would share a rendition. Raises StateConflictError while the video is not
    measured or its file is gone, ValidationError for a part that is not in it.
    """
    video = Video.get_owned(video_id, workspace_id=principal.workspace_id)
    facts = fits.facts_of(video)
    if video.state != "ready" or facts is None:
        message = {
            "processing": "This video is still being measured. Ask again in a moment.",
            "rejected": "This video was rejected: see its error. Upload another.",
        }.get(video.state, "The file of this video was deleted. Upload it again.")
        raise StateConflictError(message, {"state": video.state, "allowed": ["ready"]})
    if faults := wish.faults(facts):
        raise ValidationError(details={"end" if wish.end is not None else "start": faults})
    asked = dict(enumerate(_asked(principal, channel_id, platform, wish)))
    found = fits.verdicts(facts, {number: each.place for number, each in asked.items()})
    return [
        {
            "channel": each.channel,
            "platform": each.place.platform.name,
            **fits.shown(found[number], each.place.post_type(facts)),
        }
        for number, each in asked.items()
    ]


def _asked(
    principal: Principal, channel_id: uuid.UUID | None, platform: str | None, wish: Wish
) -> Sequence[_Asked]:
    if platform is not None:
        return [_Asked(None, Place(registry().get(platform), {}, wish))]
    if channel_id is not None:
        channels = [Channel.get_owned(channel_id, workspace_id=principal.workspace_id)]
    else:
        query = select(Channel).where(
            Channel.workspace_id == principal.workspace_id, Channel.status != "disconnected"
        )
        channels = list(db.session.scalars(query.order_by(Channel.id)))
    if not channels:
        return [_Asked(None, Place(registry().get(name), {}, wish)) for name in registry().names()]
    return [
        _Asked(each, Place(registry().get(each.platform), {}, wish, fits.longest_of(each)))
        for each in channels
    ]
