"""Who may use what: every route that is not public, tried as everybody. A new route must be put into TABLE."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from app import clock
from app.domain.principal import ROLES, Role, Scope
from app.extensions import db
from app.models import ApiKey, LoginSession, User
from app.security import parse_api_key
from app.services import auth, people, uploads_tus, webhooks
from tests import factories
from tests.factories import Person
from tests.fitness.test_routes import classifications, is_public

# What each route asks for: the least role of a person, and the scope of a key (None: people only).
TABLE: dict[str, tuple[Role, Scope | None]] = {
    "GET /api/v1/api-keys": ("owner", None),
    "POST /api/v1/api-keys": ("owner", None),
    "DELETE /api/v1/api-keys/<uuid:key_id>": ("owner", None),
    "POST /api/v1/auth/delete-account": ("viewer", None),
    "POST /api/v1/auth/logout": ("viewer", None),
    "GET /api/v1/auth/me": ("viewer", "read"),
    "PUT /api/v1/auth/password": ("viewer", None),
    "GET /api/v1/channels": ("viewer", "read"),
    "DELETE /api/v1/channels/<uuid:channel_id>": ("editor", "write"),
    "GET /api/v1/channels/<uuid:channel_id>": ("viewer", "read"),
    "POST /api/v1/channels/<uuid:channel_id>/pause": ("editor", "write"),
    "GET /api/v1/channels/<uuid:channel_id>/posting-options": ("editor", "write"),
    "POST /api/v1/channels/<uuid:channel_id>/resume": ("editor", "publish"),
    "POST /api/v1/connections": ("editor", "write"),
    "GET /api/v1/connections/<uuid:connection_id>": ("viewer", "read"),
    "POST /api/v1/connections/<uuid:connection_id>/complete": ("editor", "write"),
    "POST /api/v1/deliveries/<uuid:delivery_id>/redeliver": ("editor", "write"),
    "GET /api/v1/events": ("viewer", "read"),
    "GET /api/v1/invitations": ("owner", None),
    "POST /api/v1/invitations": ("owner", None),
    "DELETE /api/v1/invitations/<uuid:invitation_id>": ("owner", None),
    "POST /api/v1/invitations/accept": ("viewer", None),
    "GET /api/v1/members": ("viewer", "read"),
    "DELETE /api/v1/members/<uuid:user_id>": ("viewer", None),
    "PATCH /api/v1/members/<uuid:user_id>": ("owner", None),
    "GET /api/v1/platforms": ("viewer", "read"),
    "GET /api/v1/posts": ("viewer", "read"),
    "POST /api/v1/posts": ("editor", "write"),
    "GET /api/v1/posts/<uuid:post_id>": ("viewer", "read"),
    "PATCH /api/v1/posts/<uuid:post_id>": ("editor", "write"),
    "POST /api/v1/posts/<uuid:post_id>/cancel": ("editor", "write"),
    "POST /api/v1/posts/<uuid:post_id>/duplicate": ("editor", "write"),
    "POST /api/v1/posts/<uuid:post_id>/publish-now": ("editor", "publish"),
    "POST /api/v1/posts/<uuid:post_id>/repost": ("editor", "publish"),
    "GET /api/v1/posts/<uuid:post_id>/timeline": ("viewer", "read"),
    "POST /api/v1/posts/bulk": ("editor", "write"),
    "GET /api/v1/posts/export": ("viewer", "read"),
    "POST /api/v1/posts/import": ("editor", "write"),
    "DELETE /api/v1/sessions": ("viewer", None),
    "GET /api/v1/sessions": ("viewer", None),
    "DELETE /api/v1/sessions/<uuid:session_id>": ("viewer", None),
    "GET /api/v1/targets": ("viewer", "read"),
    "GET /api/v1/targets/<uuid:target_id>": ("viewer", "read"),
    "PATCH /api/v1/targets/<uuid:target_id>": ("editor", "write"),
    "GET /api/v1/targets/<uuid:target_id>/attempts": ("viewer", "read"),
    "POST /api/v1/targets/<uuid:target_id>/cancel": ("editor", "write"),
    "GET /api/v1/targets/<uuid:target_id>/receipt": ("viewer", "read"),
    "POST /api/v1/targets/<uuid:target_id>/remove": ("editor", "publish"),
    "POST /api/v1/targets/<uuid:target_id>/resolve": ("editor", "publish"),
    "POST /api/v1/targets/<uuid:target_id>/retry": ("editor", "publish"),
    "GET /api/v1/targets/<uuid:target_id>/stats": ("viewer", "read"),
    "GET /api/v1/uploads": ("viewer", "read"),
    "POST /api/v1/uploads": ("editor", "write"),
    "DELETE /api/v1/uploads/<uuid:upload_id>": ("editor", "write"),
    "GET /api/v1/uploads/<uuid:upload_id>": ("viewer", "read"),
    "PATCH /api/v1/uploads/<uuid:upload_id>": ("editor", "write"),
    "POST /api/v1/uploads/<uuid:upload_id>/complete": ("editor", "write"),
    "GET /api/v1/uploads/<uuid:upload_id>/parts": ("viewer", "read"),
    "POST /api/v1/uploads/<uuid:upload_id>/parts": ("editor", "write"),
    "GET /api/v1/videos": ("viewer", "read"),
    "POST /api/v1/videos": ("editor", "write"),
    "DELETE /api/v1/videos/<uuid:video_id>": ("editor", "write"),
    "GET /api/v1/videos/<uuid:video_id>": ("viewer", "read"),
    "PATCH /api/v1/videos/<uuid:video_id>": ("editor", "write"),
    "POST /api/v1/videos/<uuid:video_id>/archive": ("editor", "write"),
    "GET /api/v1/videos/<uuid:video_id>/file": ("viewer", "read"),
    "GET /api/v1/videos/<uuid:video_id>/fit": ("viewer", "read"),
    "GET /api/v1/videos/<uuid:video_id>/thumbnail": ("viewer", "read"),
    "PUT /api/v1/videos/<uuid:video_id>/thumbnail": ("editor", "write"),
    "PUT /api/v1/videos/<uuid:video_id>/thumbnail/image": ("editor", "write"),
    "GET /api/v1/webhooks": ("editor", "read"),
    "POST /api/v1/webhooks": ("editor", "write"),
    "DELETE /api/v1/webhooks/<uuid:webhook_id>": ("editor", "write"),
    "GET /api/v1/webhooks/<uuid:webhook_id>": ("editor", "read"),
    "PATCH /api/v1/webhooks/<uuid:webhook_id>": ("editor", "write"),
    "GET /api/v1/webhooks/<uuid:webhook_id>/deliveries": ("editor", "read"),
    "POST /api/v1/webhooks/<uuid:webhook_id>/ping": ("editor", "write"),
    "POST /api/v1/webhooks/<uuid:webhook_id>/rotate-secret": ("editor", "write"),
    "GET /api/v1/workspaces": ("viewer", "read"),
    "POST /api/v1/workspaces": ("viewer", None),
    "GET /api/v1/workspaces/<uuid:workspace_id>": ("viewer", "read"),
    "PATCH /api/v1/workspaces/<uuid:workspace_id>": ("owner", None),
    "GET /api/v1/workspaces/<uuid:workspace_id>/usage": ("viewer", "read"),
    "POST /api/v1/workspaces/<uuid:workspace_id>/pause": ("editor", "write"),
    "POST /api/v1/workspaces/<uuid:workspace_id>/resume": ("editor", "publish"),
    "POST /api/v1/workspaces/<uuid:workspace_id>/transfer": ("owner", None),
}
# Open to all members for themselves, to owners for others: see test_members.
FINER = {"DELETE /api/v1/members/<uuid:user_id>"}
SENT_AS_BYTES = {"PATCH /api/v1/uploads/<uuid:upload_id>"}
BYTES = "application/offset+octet-stream"
NOBODY = uuid.UUID("00000000-0000-7000-8000-000000000000")
Headers = Mapping[str, str]


@dataclass(frozen=True)
class World:
    """A workspace with one of everything; `ids` are its rows by the name of the path's parameter."""

    owner: Person
    ids: Mapping[str, uuid.UUID]
    channel_id: uuid.UUID
    video_id: uuid.UUID

    def path(self, rule: str, *, real: bool) -> str:
        for name, id_ in self.ids.items():
            known = real or name == "workspace_id"  # it says where one asks, so it is never anybody's
            rule = rule.replace(f"<uuid:{name}>", str(id_ if known else NOBODY))
        return rule


@pytest.fixture
def world(app: Flask, owner: Person) -> World:
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id)
        video = factories.make_video(owner.workspace_id, thumbnail_key="videos/x/thumbnail.jpg")
        post = factories.make_post(video, channel)
        webhook = webhooks.create(owner.principal, url="https://93.184.216.34/", events=[]).record
        ids = {
            "post_id": post.id,
            "target_id": factories.only_target(post).id,
            "channel_id": channel.id,
            "video_id": video.id,
            "upload_id": uploads_tus.create(owner.principal, total_bytes=100).id,
            "connection_id": factories.make_connection(owner).id,
            "webhook_id": webhook.id,
            "delivery_id": webhooks.ping(owner.principal, webhook.id).id,
            "invitation_id": people.invite(owner.principal, email="x@example.com", role="viewer").id,
            "key_id": _key_row(factories.make_api_key(owner)).id,
            "user_id": owner.user_id,
            "session_id": factories.make_session(owner).id,
            "workspace_id": owner.workspace_id,
        }
        return World(owner, ids, channel.id, video.id)


def _key_row(full: str) -> ApiKey:
    public_id, _ = parse_api_key(full) or ("", "")
    row: ApiKey = db.session.query(ApiKey).filter_by(public_id=public_id).one()
    return row


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def member(owner: Person, role: Role) -> dict[str, str]:
    user = factories.make_person()
    factories.make_membership(owner.workspace_id, user.user_id, role=role)
    return bearer(factories.make_access_token(user)) | {"X-Workspace-Id": str(owner.workspace_id)}


def ask(client: FlaskClient, route: str, world: World, headers: Headers, *, real: bool = False) -> Any:
    method, rule = route.split(" ")
    if route in SENT_AS_BYTES:
        said = {**headers, "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": BYTES}
        return client.open(world.path(rule, real=real), method=method, headers=said, data=b"x")
    return client.open(
        world.path(rule, real=real), method=method, headers=dict(headers), json=body_of(route, world)
    )


def body_of(route: str, world: World) -> Any:
    """Return a body that is accepted as far as its form goes, so that what is refused is the row."""
    return BODIES.get(route, lambda _world: None)(world)


BODIES: dict[str, Callable[[World], Any]] = {
    "PATCH /api/v1/posts/<uuid:post_id>": lambda _: {"title": "x"},
    "POST /api/v1/uploads/<uuid:upload_id>/parts": lambda _: {"part_numbers": [1]},
    "POST /api/v1/posts/<uuid:post_id>/repost": lambda _: {"at_next_allowed": True},
    "PATCH /api/v1/targets/<uuid:target_id>": lambda _: {"title": "x"},
    "POST /api/v1/targets/<uuid:target_id>/resolve": lambda _: {"outcome": "not_published"},
    "PATCH /api/v1/videos/<uuid:video_id>": lambda _: {"title": "x"},
    "PUT /api/v1/videos/<uuid:video_id>/thumbnail": lambda _: {"at_seconds": 1.0},
    "PATCH /api/v1/members/<uuid:user_id>": lambda _: {"role": "viewer"},
    "PATCH /api/v1/webhooks/<uuid:webhook_id>": lambda _: {"description": "x"},
    "PATCH /api/v1/workspaces/<uuid:workspace_id>": lambda _: {"name": "x"},
    "POST /api/v1/workspaces/<uuid:workspace_id>/transfer": lambda world: {
        "user_id": str(world.owner.user_id)
    },
}


def test_every_route_that_is_not_public_is_in_the_table_as_it_is(app: Flask) -> None:
    found = {
        route: (each.role, each.scope)  # type: ignore[attr-defined]
        for route, each in classifications(app).items()
        if not is_public(each)
    }

    assert found == TABLE


def _nobody(_app: Flask, _owner: Person) -> Headers:
    return {}


def _expired_login(_app: Flask, owner: Person) -> Headers:
    token = factories.make_access_token(owner)
    db.session.execute(update(LoginSession).values(expires_at=clock.now() - timedelta(seconds=1)))
    db.session.commit()
    return bearer(token)


def _ended_login(_app: Flask, owner: Person) -> Headers:
    token = factories.make_access_token(owner)
    db.session.execute(update(LoginSession).values(revoked_at=clock.now()))
    db.session.commit()
    return bearer(token)


def _deleted_user(_app: Flask, owner: Person) -> Headers:
    token = factories.make_access_token(owner)
    db.session.execute(update(User).values(deleted_at=clock.now()))
    db.session.commit()
    return bearer(token)


def _expired_key(_app: Flask, owner: Person) -> Headers:
    key = factories.make_api_key(owner)
    db.session.execute(update(ApiKey).values(expires_at=clock.now() - timedelta(seconds=1)))
    db.session.commit()
    return bearer(key)


def _revoked_key(_app: Flask, owner: Person) -> Headers:
    key = factories.make_api_key(owner)
    db.session.execute(update(ApiKey).values(revoked_at=clock.now()))
    db.session.commit()
    return bearer(key)


@pytest.mark.parametrize(
    "who", [_nobody, _expired_login, _ended_login, _deleted_user, _expired_key, _revoked_key],
    ids=lambda who: who.__name__.strip("_"),
)  # fmt: skip
def test_nobody_gets_in_without_a_living_login_or_key(
    app: Flask, client: FlaskClient, world: World, who: Callable[[Flask, Person], Headers]
) -> None:
    with app.app_context():
        headers = who(app, world.owner)

    answers = {route: ask(client, route, world, headers, real=True).status_code for route in TABLE}

    assert {route: status for route, status in answers.items() if status != 401} == {}


@pytest.mark.parametrize("role", ROLES)
def test_a_member_gets_as_far_as_the_role_goes(
    app: Flask, client: FlaskClient, world: World, role: Role
) -> None:
    wrong = {}
    for route, (least, _scope) in TABLE.items():
        with app.app_context():
            headers = member(world.owner, role)
        status = ask(client, route, world, headers).status_code
        allowed = ROLES.index(role) >= ROLES.index(least)
        if ((status == 403) == allowed and route not in FINER) or status == 401 or status >= 500:
            wrong[route] = status

    assert wrong == {}


@pytest.mark.parametrize("scopes", [("read",), ("read", "write"), ("read", "write", "publish")])
def test_a_key_gets_as_far_as_its_scopes_go(
    app: Flask, client: FlaskClient, world: World, scopes: tuple[Scope, ...]
) -> None:
    with app.app_context():
        headers = bearer(factories.make_api_key(world.owner, scopes=scopes))
        role = auth.authenticate_key(headers["Authorization"].split()[1]).role
    wrong = {}
    for route, (least, scope) in TABLE.items():
        status = ask(client, route, world, headers).status_code
        allowed = scope in scopes and ROLES.index(role) >= ROLES.index(least)
        if (status == 403) == allowed or status == 401 or status >= 500:
            wrong[route] = status

    assert wrong == {}


def test_what_is_in_a_path_belongs_to_the_workspace_or_does_not_exist(
    app: Flask, client: FlaskClient, world: World, other_headers: dict[str, str]
) -> None:
    named = [route for route in TABLE if "<" in route]

    answers = {route: ask(client, route, world, other_headers, real=True) for route in named}

    assert len(named) > 35
    found = {
        route: (answer.status_code, answer.get_json()["error"]["code"]) for route, answer in answers.items()
    }
    assert {route: got for route, got in found.items() if got != (404, "RESOURCE_NOT_FOUND")} == {}


def test_what_is_in_a_body_or_filter_belongs_to_the_workspace_or_does_not_exist(
    app: Flask, client: FlaskClient, world: World, other_headers: dict[str, str]
) -> None:
    with app.app_context():
        other = auth.authenticate_token(other_headers["Authorization"].split()[1])
        mine = factories.make_channel(other.workspace_id), factories.make_video(other.workspace_id)
        post = factories.make_post(mine[1], mine[0])
        path, own_channel, own_video = f"/api/v1/posts/{post.id}", str(mine[0].id), str(mine[1].id)
    theirs_c, theirs_v = str(world.channel_id), str(world.video_id)
    target = {"channel_id": own_channel}
    bodies: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/posts", {"video_id": theirs_v, "draft": True, "targets": [target]}),
        (
            "POST",
            "/api/v1/posts",
            {"video_id": own_video, "draft": True, "targets": [{"channel_id": theirs_c}]},
        ),
        ("POST", "/api/v1/posts", {"draft": True, "targets": [target | {"video_id": theirs_v}]}),
        ("PATCH", path, {"video_id": theirs_v}),
    ]

    answers = [client.open(url, method=how, json=body, headers=other_headers) for how, url, body in bodies]
    lists = ("targets?", "posts?", "posts/export?format=jsonl&")
    listed = [client.get(f"/api/v1/{each}channel_id={theirs_c}", headers=other_headers) for each in lists]
    bulk = client.post("/api/v1/posts/bulk", json={"posts": [bodies[0][2]]}, headers=other_headers)

    assert [answer.status_code for answer in answers] == [404] * 4, [answer.get_json() for answer in answers]
    assert [answer.get_json()["data"] for answer in listed[:2]] == [[], []]
    assert (listed[2].status_code, listed[2].get_data()) == (200, b"")
    assert bulk.get_json()["data"][0]["status"] == 404
