"""Grants whose time comes: told of once, renewed, or seen to end; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import clock
from app.exceptions import PlatformAuthError
from app.extensions import db
from app.models import Channel, Credential, Event, Target
from app.platforms.base import Tokens
from app.platforms.tiktok import TikTok
from app.services import credentials, grant_ends, instance
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url", "context")
DAY = timedelta(days=1)


@pytest.fixture
def channel(context: Flask) -> Channel:
    return make_channel(make_person().workspace_id)


def set_grant(channel: Channel, **columns: Any) -> uuid.UUID:
    """Write columns of the channel's grant, claimed by fence 1; without a refresh token."""
    defaults = {"fence": 1, "refresh_token_encrypted": None}
    db.session.execute(
        update(Credential).where(Credential.id == channel.credential_id).values(**(defaults | columns))
    )
    db.session.commit()
    return channel.credential_id


def grant(channel: Channel) -> Credential:
    return db.session.get_one(Credential, channel.credential_id, populate_existing=True)


def told() -> list[tuple[uuid.UUID | None, str]]:
    query = select(Event).where(Event.type == "channel.grant_ends_soon")
    return [(event.subject_id, event.data["ends_at"]) for event in db.session.scalars(query)]


def test_its_end_is_told_once_a_week_ahead(channel: Channel) -> None:
    ends_at = clock.now() + 6 * DAY
    id_ = set_grant(channel, expires_at=ends_at)

    grant_ends.attend(id_, 1)
    assert told() == [(channel.id, clock.isoformat(ends_at))]
    assert (grant(channel).status, grant(channel).next_at) == ("active", ends_at)
    grant_ends.attend(id_, 1)

    assert len(told()) == 1


def test_long_before_its_end_nothing_is_told(channel: Channel) -> None:
    ends_at = clock.now() + 60 * DAY

    grant_ends.attend(set_grant(channel, expires_at=None, refresh_expires_at=ends_at), 1)

    assert (told(), grant(channel).next_at) == ([], ends_at - 7 * DAY)
    assert grant(channel).lease_until is None


def test_a_grant_nothing_can_renew_is_good_until_it_ends_and_then_dead(channel: Channel) -> None:
    post = make_post(make_video(channel.workspace_id), channel)
    id_ = set_grant(channel, expires_at=clock.now() + timedelta(minutes=1))

    credentials.ensure_fresh(id_, until=clock.now() + DAY)
    set_grant(channel, expires_at=clock.now())
    with pytest.raises(PlatformAuthError):
        grant_ends.attend(id_, 1)

    assert grant(channel).status == "needs_reconnect"
    target = db.session.scalars(select(Target).where(Target.post_id == post.id)).one()
    assert target.hold == "reconnect"


def test_a_grant_that_is_renewed_is_told_of_too(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    ends_at = now + 5 * DAY
    sealed = credentials.seal(channel.credential_id, "refresh_token", "refresh")
    id_ = set_grant(
        channel,
        expires_at=now,
        refreshed_at=now - DAY,
        refresh_expires_at=ends_at,
        refresh_token_encrypted=sealed,
    )
    renewed = Tokens("newer", "refresh-2", now + DAY, ends_at, frozenset())
    monkeypatch.setattr(TikTok, "refresh", lambda _self, _token: renewed)

    grant_ends.attend(id_, 1)
    grant_ends.attend(id_, 1)

    assert len(told()) == 1
    assert credentials.reveal(id_, "access_token", grant(channel).access_token_encrypted) == "newer"


def test_whoever_lost_the_lease_tells_nobody(channel: Channel) -> None:
    id_ = set_grant(channel, expires_at=clock.now() + DAY)

    grant_ends.attend(id_, 2)

    assert (told(), grant(channel).end_told_at) == ([], None)


# -- tokens that are refused


def refuse(channel: Channel) -> None:
    error = PlatformAuthError("The platform said no.", platform="tiktok")
    used = grant(channel).refreshed_at
    credentials.doubt(channel.credential_id, error, used=used, channel_id=channel.id)


def state(channel: Channel) -> tuple[str, str]:
    row = db.session.get_one(Channel, channel.id, populate_existing=True)
    return row.status, grant(channel).status


def test_a_refused_token_that_nothing_can_renew_ends_its_grant_with_the_platforms_reason(
    channel: Channel,
) -> None:
    set_grant(channel, expires_at=None, refreshed_at=clock.now() - DAY)

    refuse(channel)

    assert state(channel) == ("needs_reconnect", "needs_reconnect")
    assert (grant(channel).error or {})["message"] == "The platform said no."


def test_a_refused_token_of_one_page_leaves_the_other_pages_alone(channel: Channel) -> None:
    set_grant(channel, expires_at=None, refreshed_at=clock.now() - DAY)
    other = make_channel(channel.workspace_id)
    own = {"credential_id": channel.credential_id, "access_token_encrypted": "k1:sealed"}
    db.session.execute(update(Channel).where(Channel.id.in_([channel.id, other.id])).values(**own))
    db.session.commit()
    post = make_post(make_video(channel.workspace_id), channel, other)

    refuse(channel)

    assert (state(channel), state(other)) == (("needs_reconnect", "active"), ("active", "active"))
    holds = select(Target.channel_id, Target.hold).where(Target.post_id == post.id)
    assert {row.channel_id: row.hold for row in db.session.execute(holds)} == {
        channel.id: "reconnect",
        other.id: None,
    }


def test_a_page_that_was_reconnected_meanwhile_is_not_doubted(channel: Channel) -> None:
    set_grant(channel, expires_at=None, refreshed_at=clock.now())
    db.session.execute(update(Channel).values(access_token_encrypted="k1:sealed"))
    db.session.commit()

    error = PlatformAuthError(platform="tiktok")
    credentials.doubt(channel.credential_id, error, used=clock.now() - DAY, channel_id=channel.id)

    assert state(channel) == ("active", "active")


def test_a_copy_of_the_database_renews_nothing_until_it_is_adopted(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert instance.check() is None
    renewed: list[uuid.UUID] = []
    monkeypatch.setattr(credentials, "refresh", lambda id_, _fence: renewed.append(id_))
    id_ = set_grant(channel, refresh_token_encrypted="sealed", expires_at=clock.now())
    instance.record(instance.advance() + 8)  # as if another had published since
    db.session.rollback()

    grant_ends.attend(id_, 1)
    assert renewed == []
    instance.adopt()
    grant_ends.attend(id_, 1)

    assert renewed == [id_]
