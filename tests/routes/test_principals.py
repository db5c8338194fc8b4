"""Who may use what: every route that is not public, tried as everybody. A new route must be put into TABLE.

What somebody from another workspace gets is in `test_foreign_ids`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from app import clock
from app.domain.principal import ROLES, SCOPES, Role, Scope
from app.extensions import db
from app.models import ApiKey, LoginSession, Membership, User
from app.services import auth
from tests import factories
from tests.factories import Person
from tests.fitness.test_routes import classifications, is_public
from tests.routes.world import Headers, World, ask, bearer, make_world, member

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


@pytest.fixture
def world(app: Flask, owner: Person) -> World:
    with app.app_context():
        return make_world(owner)


def there(route: str, world: World) -> str:
    return world.path(route.partition(" ")[2], real=True)


def not_there(route: str, world: World) -> str:
    return world.path(route.partition(" ")[2], real=False)


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


def _deleted_makers_key(app: Flask, owner: Person) -> Headers:
    key = bearer(factories.make_api_key(owner))
    _deleted_user(app, owner)
    return key


def _removed_members_key(_app: Flask, owner: Person) -> Headers:
    key = factories.make_api_key(owner)
    db.session.execute(delete(Membership))  # and nothing else, as if ending the keys had been forgotten
    db.session.commit()
    return bearer(key)


@pytest.mark.parametrize(
    "who",
    [
        _nobody, _expired_login, _ended_login, _deleted_user,
        _expired_key, _revoked_key, _deleted_makers_key, _removed_members_key,
    ],
    ids=lambda who: who.__name__.strip("_"),
)  # fmt: skip
def test_nobody_gets_in_without_a_living_login_or_key(
    app: Flask, client: FlaskClient, world: World, who: Callable[[Flask, Person], Headers]
) -> None:
    with app.app_context():
        headers = who(app, world.owner)

    answers = {
        route: ask(client, route, world, headers, path=there(route, world)).status_code for route in TABLE
    }

    assert {route: status for route, status in answers.items() if status != 401} == {}


@pytest.mark.parametrize("role", ROLES)
def test_a_member_gets_as_far_as_the_role_goes(
    app: Flask, client: FlaskClient, world: World, role: Role
) -> None:
    wrong: dict[str, int] = {}
    headers: Headers = {}
    for route, (least, scope) in TABLE.items():
        if not headers:
            with app.app_context():
                headers = member(world.owner, role)
        status = ask(client, route, world, headers, path=not_there(route, world)).status_code
        headers = headers if scope else {}  # what is for people only may have ended this one's login
        allowed = ROLES.index(role) >= ROLES.index(least)
        if ((status == 403) == allowed and route not in FINER) or status == 401 or status >= 500:
            wrong[route] = status

    assert wrong == {}


@pytest.mark.parametrize(
    ("scopes", "maker"),
    [(("read",), "owner"), (("read", "write"), "owner"), *((SCOPES, maker) for maker in ROLES)],
)
def test_a_key_gets_as_far_as_its_scopes_and_its_makers_role_go(
    app: Flask, client: FlaskClient, world: World, scopes: tuple[Scope, ...], maker: Role
) -> None:
    with app.app_context():
        headers = bearer(factories.make_api_key(world.owner, scopes=scopes))
        db.session.execute(update(Membership).values(role=maker))
        db.session.commit()
        role = auth.authenticate_key(headers["Authorization"].split()[1]).role
    wrong = {}
    for route, (least, scope) in TABLE.items():
        status = ask(client, route, world, headers, path=not_there(route, world)).status_code
        allowed = scope in scopes and ROLES.index(role) >= ROLES.index(least)
        if (status == 403) == allowed or status == 401 or status >= 500:
            wrong[route] = status

    assert ROLES.index(role) <= ROLES.index(maker)
    assert wrong == {}
