"""What is done about a grant when its time comes: its owner is told ahead of its end, its token is renewed."""

from __future__ import annotations

import uuid

from sqlalchemy import select

from app import clock
from app.domain.grant_life import GrantLife
from app.extensions import db
from app.models import Channel, Credential, Event
from app.services import credentials, instance, leases
from app.services.platforms import registry


def life(row: Credential) -> GrantLife:
    """Return a grant's times."""
    renewable = row.refresh_token_encrypted is not None
    return GrantLife(renewable, row.refreshed_at, row.expires_at, row.refresh_expires_at)


def attend(credential_id: uuid.UUID, fence: int) -> None:
    """Do what is due for a claimed grant: tell its owner that it ends, renew it, or see it end.

    A copy of the database leaves the original's grants alone until it is adopted: where a refresh token serves
    once, renewing it here would cut off the original. Raises what `credentials.refresh` raises.
    """
    if instance.check():
        return  # its lease brings it back
    row = db.session.scalar(
        select(Credential).where(
            Credential.id == credential_id, Credential.fence == fence, Credential.status == "active"
        )
    )
    db.session.commit()
    if row is None:
        return
    now, times = clock.now(), life(row)
    told_at = row.end_told_at
    if times.ends_at is not None and not times.is_told(told_at) and times.is_told(now):
        told_at = now
        _tell(row, fence)
    ahead = registry().get(row.platform).refresh_ahead
    due_at = times.renew_at(ahead=ahead) if times.renewable else times.expires_at
    if due_at is not None and due_at <= now:
        credentials.refresh(credential_id, fence)
        return
    next_at = times.next_look(ahead=ahead, told_at=told_at)
    leases.write(Credential, credential_id, fence, **leases.FREE, next_at=next_at)
    db.session.commit()


def _tell(row: Credential, fence: int) -> None:
    """Record once that the channels of this grant end soon. Commits."""
    ends_at = life(row).ends_at
    assert ends_at is not None
    if leases.write(Credential, row.id, fence, end_told_at=clock.now()):
        served = select(Channel.id).where(Channel.credential_id == row.id, Channel.status == "active")
        for channel_id in db.session.scalars(served.order_by(Channel.id)).all():
            Event.record(
                "channel.grant_ends_soon",
                workspace_id=row.workspace_id,
                subject_id=channel_id,
                data={"platform": row.platform, "ends_at": clock.isoformat(ends_at)},
            )
    db.session.commit()
