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
from app.platforms.facebook import Facebook
from app.platforms.instagram import Instagram
from app.platforms.tiktok import TikTok
from app.services import channels, publishing
from app.services.credentials import reveal
from app.services.platforms import registry
from tests.factories import Person, make_person

pytestmark = pytest.mark.usefixtures("database_url", "context")


@pytest.fixture
def person(context: Flask) -> Person:
    return make_person()


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens given back at the platforms."""
    found: list[str] = []
    for adapter in (TikTok, Facebook, Instagram):
        monkeypatch.setattr(adapter, "revoke", lambda _self, tokens: found.append(tokens.access_token))
    return found


def page(name: str, token: str | None = None) -> dict[str, Any]:
    shown = {"username": name, "display_name": name, "avatar_url": None, "profile_url": None}
    return {"id": name, "access_token": token or f"token-of-{name}", "details": {"name": name}, **shown}


def connect(
    person: Person,
    *pages: dict[str, Any],
    token: str = "user-token",
    refresh: str | None = None,
    user_id: str | None = "u1",
    platform: str = "tiktok",
) -> None:
    tokens = Tokens(token, refresh, None, clock.now() + timedelta(days=90), frozenset(), user_id=user_id)
    channels.connect(
        pages,
        tokens=tokens,
        platform=registry().get(platform),
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
    person: Person, revoked: list[str]
) -> None:
    connect(person, page("a"), page("b"))

    channels.disconnect(person.principal, find(person, "a").id)
    assert (find(person, "a").access_token_encrypted, revoked) == (None, [])
    assert used_token(person, "b") == "token-of-b"
    channels.disconnect(person.principal, find(person, "b").id)

    assert revoked == ["user-token"]
    assert list(grants(person).values()) == ["revoked"]
    assert find(person, "b").access_token_encrypted is None


# -- a platform takes back all that a person gave the app


def test_a_second_consent_of_the_same_person_keeps_the_first_alive(
    person: Person, revoked: list[str]
) -> None:
    connect(person, page("a"))
    connect(person, page("b"), token="second")

    channels.disconnect(person.principal, find(person, "b").id)
    assert (revoked, sorted(grants(person).values())) == ([], ["active", "revoked"])
    channels.disconnect(person.principal, find(person, "a").id)

    assert revoked == ["user-token"]


def test_another_platform_of_the_same_app_keeps_its_grant(person: Person, revoked: list[str]) -> None:
    connect(person, page("a"), platform="facebook")
    connect(person, page("b"), platform="instagram", token="second")

    channels.disconnect(person.principal, find(person, "b").id)

    assert (revoked, used_token(person, "a")) == ([], "token-of-a")


@pytest.mark.parametrize("user_id", ["u1", None])
def test_another_workspaces_grant_for_the_account_lives_on(
    person: Person, revoked: list[str], user_id: str | None
) -> None:
    other = make_person()
    connect(person, page("a"), user_id=user_id)
    connect(other, page("a"), user_id=user_id, token="second")

    channels.disconnect(person.principal, find(person, "a").id)
    assert (revoked, find(other, "a").status) == ([], "active")
    channels.disconnect(other.principal, find(other, "a").id)

    assert revoked == ["second"]


@pytest.mark.parametrize(
    ("user_id", "status"),
    [
        pytest.param("u2", "active", id="another person"),
        pytest.param(None, "active", id="nobody knows who"),
        pytest.param("u1", "needs_reconnect", id="dead already"),
    ],
)
def test_a_grant_that_ends_nobody_elses_is_given_back(
    person: Person, revoked: list[str], user_id: str | None, status: str
) -> None:
    connect(person, page("a"), user_id=None if user_id is None else "u1")
    connect(person, page("b"), user_id=user_id)
    db.session.get_one(Credential, find(person, "b").credential_id).status = status
    db.session.commit()

    channels.disconnect(person.principal, find(person, "a").id)

    assert revoked == ["user-token"]
