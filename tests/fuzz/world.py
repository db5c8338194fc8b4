"""An installation with one of everything in a workspace, that can be had new again and again.

Databases are copies of a migrated one; platforms are the sandbox, over real HTTP. What is kept
between two worlds is only what no request can change.
"""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests
from flask import Flask
from sqlalchemy import select, update

from app import clock, create_app
from app.config import Settings
from app.extensions import db, key_ring, redis_client
from app.models import Channel, Connection, Credential, Mail, Upload, Video
from app.models.base import new_id
from app.platforms.base import Tokens
from app.platforms.registry import setting_specs
from app.services import (
    accounts,
    api_keys,
    auth,
    connections,
    files,
    people,
    uploads_multipart,
    uploads_tus,
    webhooks,
)
from app.services.credentials import token_columns
from app.services.platforms import registry
from app.storage import FolderStorage, Part, get_storage, new_key
from tests import factories
from tests.database import dispose
from tests.factories import Person
from tests.fuzz.copies import Copies
from tests.rig import case_of
from tests.sandbox_server import SandboxServer

POSTING, REMOVING = "tiktok", "youtube"  # a platform for what waits, and one that deletes posts by program
BYTES = (
    b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x00\x08moov" + b"\0\0\x08\x08mdat" + bytes(range(256)) * 8
)  # an MP4 file's boxes


@dataclass(frozen=True)
class World:
    """A workspace's rows by the names paths, queries and bodies call them, and its owner's token."""

    headers: Mapping[str, str]
    loner: Mapping[str, str]  # the token of somebody who shares nothing with anybody
    ids: Mapping[str, str]
    texts: Mapping[str, str]  # tokens, passwords: what only whoever made this world can know


@dataclass
class Installation:
    """An app whose data are thrown away by `renew`."""

    app: Flask
    sandbox: SandboxServer
    copies: Copies
    _world: World | None = None
    _calls: int = 0

    def app_on(self, url: str) -> Flask:
        """Return another app with the same settings on another database, which is migrated."""
        return create_app(replace(self.app.extensions["settings"], database_url=url))

    def renew(self) -> World:
        """Begin anew: everything asked until now is forgotten.

        Where neither platforms nor files were touched, the last world's database is simply put back.
        """
        if self._world is None or self._is_spent(self._world):
            self._put(self.copies.put_migrated)
            self.sandbox.sim.reset()
            with self.app.app_context():
                self._world = _make_world(self.sandbox)
            self._calls = len(self.sandbox.sim.requests())
            self._let_go()
            self.copies.keep_world()
        else:
            self._put(self.copies.put_world)
        return self._world

    def _is_spent(self, world: World) -> bool:
        with self.app.app_context():
            is_whole = get_storage().exists(world.texts["unused_key"])
        return not is_whole or len(self.sandbox.sim.requests()) != self._calls

    def _put(self, put: Callable[[], None]) -> None:
        self._let_go()
        with self.app.app_context():
            redis_client().flushdb()
        put()

    def _let_go(self) -> None:
        """Close all connections: with the last of them SQLite folds its log into the file."""
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()


@contextmanager
def installation(
    folder: Path, *, copies: Copies, redis_url: str, sandbox: SandboxServer
) -> Iterator[Installation]:
    """Yield an app of its own in `folder`, without a world yet. Its Redis is flushed with every new world."""
    copies.put_migrated()
    settings = _settings(folder, redis_url=redis_url, platforms=_leading_to(sandbox))
    app = create_app(replace(settings, database_url=copies.url))
    app.extensions["stores"] = {"folder": FolderWithParts(settings)}
    try:
        yield Installation(app, sandbox, copies)
    finally:
        dispose(app)


def _settings(folder: Path, *, redis_url: str, platforms: Mapping[str, Mapping[str, str]]) -> Settings:
    return Settings(
        data_dir=folder,
        secret_key="s" * 40,
        jwt_secret_key="j" * 40,
        encryption_keys="k1:" + base64.b64encode(b"k" * 32).decode(),
        redis_url=redis_url,
        min_free_bytes=0,
        registration="open",
        access_token_seconds=6 * 3600,
        login_rate_limit="1000000 per minute",
        api_rate_limit="1000000 per minute",
        platforms=platforms,
    )


def _leading_to(sandbox: SandboxServer) -> dict[str, dict[str, str]]:
    values = {key: value for group in sandbox.sim.environment().values() for key, value in group.items()}
    return {
        name: {spec.name: values.get(f"{name}_{spec.name}".upper(), spec.default) for spec in specs}
        for name, specs in setting_specs().items()
    }


# -- one of everything


def _make_world(sandbox: SandboxServer) -> World:
    owner, friend = factories.make_person(password=factories.PASSWORD), factories.make_person()
    factories.make_membership(owner.workspace_id, friend.user_id, role="editor")
    shared = factories.make_workspace(owner_id=owner.user_id, personal=False)
    factories.make_membership(shared.id, friend.user_id)
    channel, second = (_channel(owner, sandbox, name) for name in ("sandbox_creator", "sandbox_second"))
    removing = _channel(owner, sandbox, "sandbox_creator", platform=REMOVING)
    video, unused = _video(owner), _video(owner)
    ids: dict[str, uuid.UUID] = {
        "workspace_id": owner.workspace_id,
        "shared_workspace_id": shared.id,
        "user_id": friend.user_id,
        "channel_id": channel.id,
        "second_channel_id": second.id,
        "video_id": video.id,
        "unused_video_id": unused.id,
        **_uploads(owner),
        **_posts(owner, video, channel, removing),
        **_webhook(owner),
        "key_id": api_keys.create_api_key(owner.principal, name="old", scopes=("read",)).record.id,
        "session_id": factories.make_session(owner).id,
        "invitation_id": people.invite(owner.principal, email="x@example.com", role="viewer").id,
        "connection_id": _connection(owner),
    }
    loner = factories.make_person(password=factories.PASSWORD)
    return World(
        _bearer(owner),
        _bearer(loner),
        {name: str(id_) for name, id_ in ids.items()},
        _texts(owner, friend, video) | {"unused_key": str(unused.key)},
    )


def _bearer(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {factories.make_access_token(person)}"}


def _channel(owner: Person, sandbox: SandboxServer, username: str, *, platform: str = POSTING) -> Channel:
    """Make a channel whose tokens the sandbox gave."""
    grant = sandbox.sim.token(username, platform=platform)
    expires_at = clock.now() + timedelta(hours=24)
    scopes = case_of(platform).scopes
    tokens = Tokens(grant["access_token"], grant["refresh_token"], expires_at, None, scopes)
    ahead = registry().get(platform).refresh_ahead
    channel = factories.make_channel(
        owner.workspace_id, platform=platform, remote_id=grant["remote_id"], username=username
    )
    credential = db.session.get_one(Credential, channel.credential_id)
    for column, value in token_columns(credential.id, tokens, refresh_ahead=ahead).items():
        setattr(credential, column, value)
    db.session.commit()
    return channel


def _video(owner: Person) -> Video:
    key = new_key("videos", new_id(), "original.mp4")
    get_storage().put_stream(key, io.BytesIO(BYTES), max_bytes=len(BYTES))
    return factories.make_video(
        owner.workspace_id, key=key, thumbnail_key=key, size_bytes=len(BYTES), title="A title"
    )


class FolderWithParts(FolderStorage):
    """A folder that passes for a bucket as far as addresses for parts go; no part ever comes."""

    takes_parts = True

    def begin_parts(self, key: str) -> str:  # noqa: ARG002
        return "upload-1"

    def sign_part(self, key: str, upload_id: str, number: int, *, length: int, seconds: int) -> str:  # noqa: ARG002
        return f"https://bucket.example.com/{key}?partNumber={number}"

    def list_parts(self, key: str, upload_id: str) -> list[Part]:  # noqa: ARG002
        return []


def _uploads(owner: Person) -> dict[str, uuid.UUID]:
    """Make an upload by tus, one in parts, and one in parts that is done."""
    begun, done = (uploads_multipart.create(owner.principal, total_bytes=50_000_000) for _ in range(2))
    db.session.execute(update(Upload).where(Upload.id == done.id).values(state="done"))
    db.session.commit()
    return {
        "upload_id": uploads_tus.create(owner.principal, total_bytes=len(BYTES)).id,
        "multipart_id": begun.id,
        "done_upload_id": done.id,
    }


def _posts(owner: Person, video: Video, channel: Channel, removing: Channel) -> dict[str, uuid.UUID]:
    """Make a post that waits, and one in every state in which people do something about a target."""
    options = dict(case_of(POSTING).options)
    waiting = factories.make_post(video, channel, options={POSTING: options}, created_by=owner.user_id)
    done = factories.make_post(video, status="published", created_by=owner.user_id)
    past = {"due_at": clock.now() - timedelta(days=2), "late_until": clock.now() - timedelta(days=2)}
    shown = {"remote_id": "r1", "permalink": "https://example.com/r1", "published_at": past["due_at"]}
    return {
        "post_id": waiting.id,
        "target_id": factories.only_target(waiting).id,
        "done_post_id": done.id,
        "published_target_id": factories.make_target(
            done, video, removing, state="published", **past, **shown
        ).id,
        **{
            f"{state}_target_id": factories.make_target(
                factories.make_post(video, status=status, options={POSTING: options}),
                video, channel, state=state, **past,
            ).id
            for state, status in (("failed", "failed"), ("unknown", "action_required"))
        },
    }  # fmt: skip


def _webhook(owner: Person) -> dict[str, uuid.UUID]:
    """Make an endpoint, a delivery that waits and one that failed."""
    webhook = webhooks.create(owner.principal, url="https://93.184.216.34/", events=[]).record
    id_ = webhook.id
    failed = webhooks.ping(owner.principal, id_)
    failed.state, failed.next_at = "failed", None
    db.session.commit()
    return {"webhook_id": id_, "delivery_id": failed.id, "waiting_id": webhooks.ping(owner.principal, id_).id}


def _connection(owner: Person) -> uuid.UUID:
    """Make a consent that was given and waits for its completion."""
    begun = connections.begin(owner.principal, platform=POSTING)
    page = f"{begun.authorize_url}&auto=approve"
    back = requests.get(page, allow_redirects=False, timeout=10, proxies={"http": ""})
    query = dict(parse_qsl(urlsplit(back.headers["Location"]).query))
    id_ = begun.connection.id
    connections.receive_consent(query, nonce_of=lambda _id: begun.nonce)
    return id_


def _texts(owner: Person, friend: Person, video: Video) -> dict[str, str]:
    link = urlsplit(
        files.link(video.key or "", backend="folder", content_type="video/mp4", name="clip.mp4", version="1")
    )
    _, _, token, name = link.path.split("/")
    invitation = people.invite(friend.principal, email=owner.email, role="viewer")
    return {
        "email": owner.email,
        "new_email": "new@example.com",
        "choice_id": db.session.scalars(select(Connection)).one().choices[0]["id"],
        "password": factories.PASSWORD,
        "token": token,
        "name": name,
        "invitation": invitation.token,
        "reset": _reset_token(owner.email),
        "refresh_token": auth.begin_session(owner.user_id).refresh_token,
    }


def _reset_token(email: str) -> str:
    """Ask for a new password and read the mail."""
    accounts.request_reset(email=email)
    mail = db.session.scalars(select(Mail).where(Mail.kind == "password_reset")).one()
    facts = json.loads(key_ring().decrypt(mail.facts_encrypted, context=f"mails:facts:{mail.id}"))
    return str(facts["token"])
