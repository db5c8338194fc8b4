"""What a connection was allowed, held against what a post needs: found out when it is scheduled, not when it is due."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.models import Channel, Credential
from app.platforms.base import Platform


def granted(channels: Sequence[Channel]) -> dict[uuid.UUID, frozenset[str]]:
    """Return what each channel's owner allowed, by channel id; empty where that is not known. One query."""
    wanted = {channel.credential_id for channel in channels}
    query = select(Credential.id, Credential.scopes).where(Credential.id.in_(wanted))
    scopes = {row.id: frozenset(row.scopes) for row in db.session.execute(query)} if wanted else {}
    return {channel.id: scopes.get(channel.credential_id, frozenset()) for channel in channels}


def problems(
    platform: Platform, options: Mapping[str, Any], *, granted: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong) for each permission that what is chosen in `options` needs and that is missing."""
    if not granted:
        return
    for what, any_of in platform.scope_for.items():
        if _is_chosen(what, options) and any_of.isdisjoint(granted):
            name = what.partition("=")[0]
            needed = " or ".join(sorted(any_of))
            remedy = f", or leave {name} out" if name else ""
            message = (
                f"{platform.label} was not given the permission this needs ({needed}). "
                f"Reconnect the channel and allow it{remedy}."
            )
            yield (f"options.{name}" if name else "channel_id"), message


def _is_chosen(what: str, options: Mapping[str, Any]) -> bool:
    name, _, value = what.partition("=")
    return not name or (options.get(name) == value if value else bool(options.get(name)))
