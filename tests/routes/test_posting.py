"""What a channel may post: asked, kept, and held against what is scheduled; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.extensions import db
from app.models import Channel, Credential
from app.platforms.base import Account, PostingOptions
from app.platforms.tiktok import TikTok
from app.services import posting
from tests import factories
from tests.routes.conftest import Body, Send, code

DIRECT = {"tiktok": {"mode": "direct", "privacy_level": "SELF_ONLY", "allow_comment": True}}
TOLD = PostingOptions({"privacy_level": ["SELF_ONLY"]}, ["allow_duet"], 60, 3, clock.now())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """The accounts TikTok was asked about; it answers TOLD."""
    accounts: list[Account] = []

    def answer(_self: TikTok, account: Account) -> PostingOptions:
        accounts.append(account)
        return TOLD

    monkeypatch.setattr(TikTok, "posting_options", answer)
    return accounts


def path(body: Body) -> str:
    return f"/channels/{body['targets'][0]['channel_id']}/posting-options"


def channel(app: Flask) -> Channel:
    with app.app_context():
        found = db.session.scalars(select(Channel)).one()
        db.session.expunge(found)
        return found


def change(app: Flask, model: type, **columns: Any) -> None:
    with app.app_context():
        db.session.execute(update(model).values(**columns))
        db.session.commit()


@pytest.mark.usefixtures("database_url")
def test_the_platforms_answer_is_told_and_kept(
    app: Flask, send: Send, body: Body, asked: list[Account]
) -> None:
    answer = send("GET", path(body))

    assert answer.status_code == 200, answer.text
    told = answer.json
    assert (told["choices"], told["disabled"]) == ({"privacy_level": ["SELF_ONLY"]}, ["allow_duet"])
    assert (told["max_duration_seconds"], told["posts_left"]) == (60, 3)
    kept = channel(app)
    assert kept.posting is not None and kept.posting_at is not None
    assert clock.isoformat(kept.posting_at) == told["checked_at"]
    assert [account.access_token for account in asked] == [factories.ACCESS_TOKEN]


@pytest.mark.usefixtures("asked", "database_url")
def test_scheduling_is_checked_against_the_last_answer(send: Send, body: Body) -> None:
    send("GET", path(body))
    wanted = {"mode": "direct", "privacy_level": "PUBLIC_TO_EVERYONE", "allow_duet": True}

    refused = send("POST", "/posts", body | {"options": {"tiktok": wanted}})

    assert code(refused) == (422, "PLATFORM_VALIDATION_ERROR")
    details = refused.json["error"]["details"]
    (privacy,) = [said for said in details["targets.0.options.privacy_level"] if "does not offer" in said]
    assert "PUBLIC_TO_EVERYONE" in privacy and "but: SELF_ONLY" in privacy and path(body) in privacy
    (duet,) = details["targets.0.options.allow_duet"]
    assert "allow_duet" in duet


@pytest.mark.usefixtures("asked")
def test_what_the_platform_offers_is_accepted(send: Send, body: Body) -> None:
    send("GET", path(body))

    assert send("POST", "/posts", body | {"options": DIRECT}).status_code == 201


@pytest.mark.usefixtures("asked")
def test_a_video_longer_than_the_account_may_post_is_refused(app: Flask, send: Send, body: Body) -> None:
    send("GET", path(body))
    posting_now = channel(app).posting or {}
    change(app, Channel, posting=posting_now | {"max_duration_seconds": 7.5})

    refused = send("POST", "/posts", body | {"options": DIRECT})

    (said,) = refused.json["error"]["details"]["targets.0.video_id"]
    assert "8.0 s long; TikTok takes 7.5 s" in said


def test_where_nothing_is_known_nothing_is_checked(send: Send, body: Body) -> None:
    assert send("POST", "/posts", body | {"options": DIRECT}).status_code == 201


def test_a_missing_permission_is_found_at_scheduling(app: Flask, send: Send, body: Body) -> None:
    change(app, Credential, scopes=["user.info.basic", "video.upload"])

    refused = send("POST", "/posts", body | {"options": DIRECT})

    (said,) = refused.json["error"]["details"]["targets.0.options.mode"]
    assert "video.publish" in said and "Reconnect" in said


@pytest.mark.usefixtures("asked")
def test_a_later_answer_is_not_overwritten_by_an_earlier(app: Flask, send: Send, body: Body) -> None:
    later = clock.now() + timedelta(minutes=1)
    change(app, Channel, posting={"x": 1}, posting_at=later)

    assert send("GET", path(body)).status_code == 200

    assert (channel(app).posting, channel(app).posting_at) == ({"x": 1}, later)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (PlatformAuthError(platform="tiktok"), "needs_reconnect"),
        (PlatformAPIError(platform="tiktok"), "active"),
    ],
    ids=["refused", "down"],
)
def test_a_platform_that_does_not_tell_leaves_what_was_known(
    app: Flask, send: Send, body: Body, monkeypatch: pytest.MonkeyPatch, error: PlatformAPIError, state: str
) -> None:
    def fail(*_: Any) -> PostingOptions:
        raise error

    monkeypatch.setattr(TikTok, "posting_options", fail)
    change(app, Channel, posting={"x": 1})

    assert send("GET", path(body)).status_code == 502

    assert (channel(app).posting, channel(app).status) == ({"x": 1}, state)


def test_a_disconnected_channel_is_not_asked_about(
    app: Flask, send: Send, body: Body, asked: list[Account]
) -> None:
    change(app, Channel, status="disconnected")

    assert code(send("GET", path(body))) == (409, "STATE_CONFLICT")
    assert asked == []


def test_another_workspaces_channel_does_not_exist(
    client: Any, body: Body, other_headers: dict[str, str], asked: list[Account]
) -> None:
    answer = client.get(f"/api/v1{path(body)}", headers=other_headers)

    assert (code(answer), asked) == ((404, "RESOURCE_NOT_FOUND"), [])


def test_trouble_after_connecting_is_nobodys_trouble(
    app: Flask, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> PostingOptions:
        raise PlatformAPIError(platform="tiktok")

    monkeypatch.setattr(TikTok, "posting_options", fail)

    with app.app_context():
        posting.ask_again(uuid.UUID(body["targets"][0]["channel_id"]))
        posting.ask_again(uuid.uuid4())

    assert channel(app).posting is None
