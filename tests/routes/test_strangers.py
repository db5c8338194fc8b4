"""Ways into another workspace that are not an id: cursors, replays, links of another kind, rights that ended."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.domain.principal import Role
from app.extensions import db
from app.models import Event
from app.services import auth
from tests import factories
from tests.factories import Person
from tests.routes.test_members import Team, error
from tests.routes.test_principals import TABLE
from tests.routes.world import PRIVATE, Headers, World, bearer, make_world, member

API = "/api/v1"


@pytest.fixture
def team(app: Flask) -> Team:
    return Team(app)


@pytest.fixture
def stranger(app: Flask, owner: Person) -> World:
    with app.app_context():
        return make_world(owner)


@pytest.fixture
def own(app: Flask) -> World:
    with app.app_context():
        return make_world(factories.make_person())


def login(app: Flask, world: World) -> Headers:
    with app.app_context():
        return bearer(factories.make_access_token(world.owner))


def readable(world: World) -> list[str]:
    routes = (route.partition(" ") for route in TABLE)
    return [world.path(rule, real=True) for method, _, rule in routes if method == "GET"]


# -- what one sees


def test_nothing_one_reads_names_anything_of_a_strangers(
    app: Flask, client: FlaskClient, stranger: World, own: World
) -> None:
    mine = login(app, own)

    answers = {path: client.get(path, headers=mine).get_data(as_text=True) for path in readable(own)}

    assert any(own.ids["channel_id"] in text for text in answers.values())
    named = {path for path, text in answers.items() if any(id_ in text for id_ in stranger.ids.values())}
    assert named == set()


def test_a_strangers_cursor_continues_ones_own_list(
    app: Flask, client: FlaskClient, stranger: World, own: World
) -> None:
    theirs, mine, wrong, tried = login(app, stranger), login(app, own), {}, 0
    for path in readable(stranger):
        page = client.get(path, query_string={"limit": 1}, headers=theirs, buffered=True)
        cursor = (page.get_json(silent=True) or {}).get("pagination", {}).get("next_cursor")
        if cursor is None:
            continue
        tried += 1
        listed = client.get(path, query_string={"cursor": cursor}, headers=mine)
        if any(id_ in listed.get_data(as_text=True) for id_ in stranger.ids.values()):
            wrong[path] = listed.get_json()

    assert tried > 3
    assert wrong == {}


def test_events_after_a_strangers_number_are_ones_own(
    app: Flask, client: FlaskClient, stranger: World, own: World
) -> None:
    with app.app_context():
        for world in (stranger, own, stranger, own):
            Event.record(
                "post.created",
                workspace_id=world.owner.workspace_id,
                subject_id=uuid.UUID(world.ids["post_id"]),
            )
        db.session.commit()
        numbers = [event.seq for event in db.session.query(Event).filter_by(type="post.created")]
    mine = login(app, own)

    seen = [
        event["subject_id"]
        for number in (0, *numbers)
        for event in client.get(f"{API}/events?after={number}", headers=mine).get_json()["data"]
    ]

    assert own.ids["post_id"] in seen and stranger.ids["post_id"] not in seen


# -- what one repeats


def test_an_answer_is_replayed_to_whoever_got_it_and_to_nobody_else(
    app: Flask, client: FlaskClient, stranger: World, own: World
) -> None:
    body = {"video_id": stranger.ids["video_id"], "draft": True, "options": PRIVATE}
    body |= {"targets": [{"channel_id": stranger.ids["channel_id"]}]}

    def ask(headers: Headers) -> Any:
        return client.post(f"{API}/posts", json=body, headers={**headers, "Idempotency-Key": "same"})

    with app.app_context():
        colleague = member(stranger.owner, "editor")
        key = bearer(factories.make_api_key(stranger.owner))
    first, others = ask(login(app, stranger)), [ask(colleague), ask(key)]
    strangers = ask(login(app, own))

    assert {answer.status_code for answer in (first, *others)} == {201}
    assert len({answer.json["id"] for answer in (first, *others)}) == 3
    assert error(strangers) == (404, "RESOURCE_NOT_FOUND")


def test_an_answer_is_not_replayed_to_who_may_not_ask_any_more(team: Team) -> None:
    editor = team.join("editor")
    given = {"json": {"url": "https://93.184.216.34/", "events": []}}

    def make() -> Any:
        with team.app.app_context():
            token = auth.begin_session(editor).access_token
        headers = {**bearer(token), "X-Workspace-Id": str(team.id), "Idempotency-Key": "same"}
        return team.client.post(f"{API}/webhooks", headers=headers, **given)

    first = make()
    team.ask(team.owner, "PATCH", f"/members/{editor}", json={"role": "viewer"})
    demoted = make()
    team.ask(team.owner, "DELETE", f"/members/{editor}")
    removed = make()

    assert first.status_code == 201 and first.json["secret"]
    assert error(demoted) == (403, "AUTHORIZATION_ERROR")
    assert error(removed) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("version", ['"1"', '"999999"', "*"])
def test_a_version_is_not_compared_on_a_strangers_post(
    app: Flask, client: FlaskClient, stranger: World, own: World, version: str
) -> None:
    headers = {**login(app, own), "If-Match": version}

    answers = [
        client.patch(f"{API}/{kind}s/{stranger.ids[f'{kind}_id']}", json={"title": "x"}, headers=headers)
        for kind in ("post", "target", "video")
    ]

    assert [error(answer) for answer in answers] == [(404, "RESOURCE_NOT_FOUND")] * 3
    assert not any("ETag" in answer.headers for answer in answers)


# -- links


def test_a_link_of_one_kind_opens_nothing_of_another(
    app: Flask, client: FlaskClient, stranger: World
) -> None:
    theirs = login(app, stranger)
    video = client.get(f"{API}/videos/{stranger.ids['video_id']}", headers=theirs).json
    receipt = client.get(f"{API}/targets/{stranger.ids['target_id']}/receipt", headers=theirs).json
    file_token = urlsplit(video["file_url"]).path.split("/")[2]
    page_token = urlsplit(receipt["page_url"]).path.split("/")[2]
    reset = {"password": "another horse battery"}

    answers = [
        client.get(f"/receipts/{file_token}"),
        client.get(f"/files/{page_token}/x.mp4"),
        *(
            client.post(f"{API}/auth/password-reset/confirm", json=reset | {"token": token})
            for token in (file_token, page_token)
        ),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 401, 401]
    assert client.get(f"/receipts/{page_token}").status_code == 200


# -- rights that ended


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("how", ["demoted", "removed"])
def test_who_may_not_invite_any_more_lets_nobody_in_later(team: Team, how: str) -> None:
    second = team.join("owner")
    made = team.ask(second, "POST", "/invitations", json={"email": "eve@example.com", "role": "owner"}).json

    if how == "demoted":
        team.ask(team.owner, "PATCH", f"/members/{second}", json={"role": "editor"})
    else:
        team.ask(team.owner, "DELETE", f"/members/{second}")

    body = {"email": "eve@example.com", "password": factories.PASSWORD, "invitation_token": made["token"]}
    refused = team.client.post(f"{API}/auth/register", json=body)
    assert error(refused) == (401, "INVALID_TOKEN")
    assert team.ask(team.owner, "GET", "/invitations").json["data"] == []


def key_of(team: Team, maker: uuid.UUID, *scopes: str) -> Headers:
    body = {"name": "theirs", "scopes": list(scopes)}
    return bearer(team.ask(maker, "POST", "/api-keys", json=body).json["key"])


@pytest.mark.usefixtures("database_url")
def test_a_key_falls_and_rises_with_its_maker(team: Team) -> None:
    maker = team.join("owner")
    key = key_of(team, maker, "read", "write", "publish")

    def try_key(role: Role) -> tuple[int, int, str]:
        team.ask(team.owner, "PATCH", f"/members/{maker}", json={"role": role})
        seen = team.client.get(f"{API}/channels", headers=key)
        done = team.client.post(f"{API}/workspaces/{team.id}/pause", headers=key)
        return seen.status_code, done.status_code, team.client.get(f"{API}/auth/me", headers=key).json["role"]

    tried = [try_key(role) for role in ("owner", "editor", "viewer", "editor")]

    assert tried == [(200, 200, "editor"), (200, 200, "editor"), (200, 403, "viewer"), (200, 200, "editor")]


@pytest.mark.usefixtures("database_url")
def test_a_key_dies_with_its_makers_membership_and_does_not_come_back(team: Team) -> None:
    maker = team.join("owner")
    key = key_of(team, maker, "read")
    team.ask(team.owner, "DELETE", f"/members/{maker}")
    dead = team.client.get(f"{API}/channels", headers=key)

    with team.app.app_context():
        factories.make_membership(team.id, maker, role="owner")
    again = team.client.get(f"{API}/channels", headers=key)

    assert error(dead) == error(again) == (401, "INVALID_TOKEN")


def test_a_refused_key_is_told_why(team: Team) -> None:
    maker = team.join("owner")
    key = key_of(team, maker, "read", "write")
    team.ask(team.owner, "PATCH", f"/members/{maker}", json={"role": "viewer"})

    refused = team.client.post(f"{API}/workspaces/{team.id}/pause", headers=key)

    assert error(refused) == (403, "AUTHORIZATION_ERROR")
    assert refused.json["error"]["details"] == {"required_role": "editor", "role": "viewer"}
    assert "its maker" in refused.json["error"]["message"]
