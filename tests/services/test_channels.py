"""Channels that share a grant and have tokens of their own, as Pages do; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Channel, Credential
from app.platforms.base import Tokens
from app.platforms.tiktok import TikTok
from app.services import channels, publishing
from app.services.credentials import reveal
from app.services.platforms import registry
from tests.factories import Person, make_person

pytestmark = pytest.mark.usefixtures("database_url", "context")


@pytest.fixture
def person(context: Flask) -> Person:
    return make_person()


def page(name: str, token: str | None = None) -> dict[str, Any]:
    shown = {"username": name, "display_name": name, "avatar_url": None, "profile_url": None}
    return {"id": name, "access_token": token or f"token-of-{name}", "details": {"name": name}, **shown}


def connect(
    person: Person, *pages: dict[str, Any], token: str = "user-token", refresh: str | None = None
) -> None:
    tokens = Tokens(token, refresh, None, clock.now() + timedelta(days=90), frozenset(), user_id="u1")
    channels.connect(
        pages,
        tokens=tokens,
        platform=registry().get("tiktok"),
        workspace_id=person.workspace_id,
        server="",
    )
    db.session.commit()


def find(person: Person, name: str) -> Channel:
    query = select(Channel).where(Channel.workspace_id == person.workspace_id, Channel.remote_id == name)
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def used_token(person: Person, name: str) -> str:
    """Return the token a post on this channel would be made with."""
    channel = find(person, name)
    credential = db.session.get_one(Credential, channel.credential_id, populate_existing=True)
    return publishing.account_of(channel, credential).access_token


def grants(person: Person) -> dict[uuid.UUID, str]:
    query = select(Credential.id, Credential.status).where(Credential.workspace_id == person.workspace_id)
    return {row.id: row.status for row in db.session.execute(query)}


def test_each_page_posts_with_its_own_token_and_sees_its_details(person: Person) -> None:
    connect(person, page("a"), page("b"))

    assert (used_token(person, "a"), used_token(person, "b")) == ("token-of-a", "token-of-b")
    assert find(person, "a").credential_id == find(person, "b").credential_id
    assert find(person, "a").details == {"name": "a"}
    assert "token-of-a" not in str(find(person, "a").access_token_encrypted)
    (credential,) = db.session.scalars(select(Credential)).all()
    assert credential.remote_user_id == "u1"


def test_another_subset_chosen_later_leaves_the_rest_as_it_was(person: Person) -> None:
    connect(person, page("a"), page("b"))

    connect(person, page("b", "newer"), page("c"), token="user-token-2")

    assert [used_token(person, name) for name in "abc"] == ["token-of-a", "newer", "token-of-c"]
    assert find(person, "a").credential_id != find(person, "b").credential_id
    assert find(person, "b").credential_id == find(person, "c").credential_id
    assert list(grants(person).values()) == ["active", "active"]


def test_reconnecting_one_page_keeps_the_others_grant_and_its_refresh_token(person: Person) -> None:
    connect(person, page("a"), page("b"), refresh="refresh-1")

    connect(person, page("a", "newer"))

    assert used_token(person, "a") == "newer"
    for name in "ab":
        credential = db.session.get_one(Credential, find(person, name).credential_id)
        assert credential.refresh_token_encrypted is not None
        assert reveal(credential.id, "refresh_token", credential.refresh_token_encrypted) == "refresh-1"


def test_a_page_without_a_token_of_its_own_any_more_uses_the_grants(person: Person) -> None:
    connect(person, page("a"))

    connect(person, page("a") | {"access_token": None}, token="user-token-2")

    assert used_token(person, "a") == "user-token-2"


def test_two_workspaces_may_have_the_same_page(person: Person) -> None:
    other = make_person()
    connect(person, page("a", "first"))
    connect(other, page("a", "second"))

    channels.disconnect(other.principal, find(other, "a").id)

    assert used_token(person, "a") == "first"
    assert list(grants(person).values()) == ["active"]


def test_a_page_that_is_disconnected_leaves_the_shared_grant_to_the_others(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked: list[str] = []
    monkeypatch.setattr(TikTok, "revoke", lambda _self, tokens: revoked.append(tokens.access_token))
    connect(person, page("a"), page("b"))

    channels.disconnect(person.principal, find(person, "a").id)
    assert (find(person, "a").access_token_encrypted, revoked) == (None, [])
    assert used_token(person, "b") == "token-of-b"
    channels.disconnect(person.principal, find(person, "b").id)

    assert revoked == ["user-token"]
    assert list(grants(person).values()) == ["revoked"]
    assert find(person, "b").access_token_encrypted is None
