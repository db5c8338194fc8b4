"""A workspace with one of everything in it, and a request for every route that is not public."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

from app.domain.principal import Role
from app.extensions import db, key_ring
from app.models import ApiKey
from app.models.base import new_id
from app.platforms.base import RemoteAccount, Tokens
from app.security import parse_api_key
from app.services import grants, people, uploads_tus, webhooks
from tests import factories
from tests.factories import Person

SENT_AS_BYTES = {"PATCH /api/v1/uploads/<uuid:upload_id>"}
PRIVATE = {"tiktok": {"privacy_level": "SELF_ONLY"}}
BYTES = "application/offset+octet-stream"
NOBODY = "00000000-0000-7000-8000-000000000000"
Headers = Mapping[str, str]


@dataclass(frozen=True)
class World:
    """A workspace with one of everything; `ids` are its rows by the name of the path's parameter."""

    owner: Person
    ids: Mapping[str, str]

    def path(self, rule: str, *, real: bool) -> str:
        """Return the address of a row that exists, or (`real` False) of one that does not, here."""
        for name, id_ in self.ids.items():
            known = real or name == "workspace_id"  # it says where one asks, so it is never anybody's
            rule = rule.replace(f"<uuid:{name}>", id_ if known else NOBODY)
        return rule

    def nowhere(self, rule: str) -> str:
        """Return the address with ids nobody has, the workspace's too."""
        for name in self.ids:
            rule = rule.replace(f"<uuid:{name}>", NOBODY)
        return rule


def make_world(owner: Person) -> World:
    """Put one of everything into the owner's workspace. Needs an application context."""
    channel, second = (factories.make_channel(owner.workspace_id) for _ in range(2))
    video = factories.make_video(owner.workspace_id, thumbnail_key="videos/x/thumbnail.jpg")
    post = factories.make_post(video, channel, state="draft", status="draft", options=PRIVATE)
    shared = factories.make_workspace(owner_id=owner.user_id, personal=False)
    friend = factories.make_person()
    factories.make_membership(shared.id, friend.user_id)
    webhook_id = webhooks.create(owner.principal, url="https://93.184.216.34/", events=[]).record.id
    account_id, connection_id = _authorized(owner)
    ids = {
        "post_id": post.id,
        "target_id": factories.only_target(post).id,
        "channel_id": channel.id,
        "second_channel_id": second.id,
        "video_id": video.id,
        "second_video_id": factories.make_video(owner.workspace_id).id,
        "upload_id": uploads_tus.create(owner.principal, total_bytes=100).id,
        "connection_id": connection_id,
        "account_id": account_id,
        "webhook_id": webhook_id,
        "delivery_id": webhooks.ping(owner.principal, webhook_id).id,
        "invitation_id": people.invite(owner.principal, email="x@example.com", role="viewer").id,
        "key_id": _key_row(factories.make_api_key(owner)).id,
        "user_id": owner.user_id,
        "session_id": factories.make_session(owner).id,
        "workspace_id": owner.workspace_id,
        "shared_workspace_id": shared.id,
        "friend_id": friend.user_id,
    }
    return World(owner, {name: str(id_) for name, id_ in ids.items()})


def _authorized(owner: Person) -> tuple[str, uuid.UUID]:
    """Make a consent that was given; return the account it offers and its id."""
    account = RemoteAccount(remote_id=f"account-{new_id().hex[-12:]}", username="grace", display_name="Grace")
    tokens = Tokens(factories.ACCESS_TOKEN, factories.REFRESH_TOKEN, None, None, frozenset())
    row = factories.make_connection(owner)
    row.status, row.choices = "authorized", grants.choices([account])
    sealed = key_ring().encrypt(grants.pack(tokens, [account]), context=f"connections:tokens:{row.id}")
    row.tokens_encrypted = sealed
    db.session.commit()
    return account.remote_id, row.id


def _key_row(full: str) -> ApiKey:
    public_id, _ = parse_api_key(full) or ("", "")
    row: ApiKey = db.session.query(ApiKey).filter_by(public_id=public_id).one()
    return row


# -- who asks


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def member(owner: Person, role: Role) -> dict[str, str]:
    """Return the headers of somebody new who has this role in the owner's workspace."""
    user = factories.make_person()
    factories.make_membership(owner.workspace_id, user.user_id, role=role)
    return bearer(factories.make_access_token(user)) | {"X-Workspace-Id": str(owner.workspace_id)}


# -- what they ask


def ask(client: FlaskClient, route: str, world: World, headers: Headers, *, path: str) -> Any:
    """Ask for a route at this path, with a body that is accepted as far as its form goes."""
    method, _ = route.split(" ")
    if route in SENT_AS_BYTES:
        said = {**headers, "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": BYTES}
        return client.open(path, method=method, headers=said, data=b"x")
    body = BODIES.get(route, lambda _world: None)(world)
    return client.open(path, method=method, headers=dict(headers), json=body)


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
