"""Rows for tests, made directly. Each function commits, needs an application context, and returns the row.

What a test does not care about is filled in; what it names wins. Rows belong to a `Person`'s workspace or to
any other by its id.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import select

from app import clock
from app.domain.principal import SCOPES, Principal, Role
from app.domain.video_spec import VideoFacts
from app.extensions import db
from app.models import (
    Channel,
    Connection,
    Credential,
    LoginSession,
    Membership,
    Post,
    Target,
    User,
    Video,
    Workspace,
)
from app.models.base import new_id
from app.platforms.base import Tokens
from app.security import hash_password
from app.services import api_keys, auth
from app.services.credentials import token_columns
from tests.canaries import canary
from tests.canary_marks import MARK

Row = TypeVar("Row")
ACCESS_TOKEN, REFRESH_TOKEN = canary("access"), canary("refresh")
PASSWORD = f"{MARK} horse battery"
FACTS = VideoFacts(
    container="mp4",
    size_bytes=1_000_000,
    duration_seconds=8.0,
    bit_rate=1_000_000,
    video_codec="h264",
    video_profile="High",
    video_level=31,
    video_bit_rate=900_000,
    pixel_format="yuv420p",
    bit_depth=8,
    is_hdr=False,
    is_interlaced=False,
    coded_width=720,
    coded_height=1280,
    width=720,
    height=1280,
    rotation=0,
    frame_rate=30.0,
    is_constant_rate=True,
    keyframe_seconds=2.0,
    audio_codec="aac",
    audio_profile="LC",
    audio_channels=2,
    audio_sample_rate=44100,
    audio_bit_rate=128_000,
    is_fast_start=True,
    has_edit_list=False,
)


@dataclass(frozen=True)
class Person:
    """A user and the workspace they own, as plain values that outlive any session."""

    user_id: uuid.UUID
    workspace_id: uuid.UUID
    email: str

    @property
    def principal(self) -> Principal:
        return Principal(workspace_id=self.workspace_id, user_id=self.user_id, role="owner")


def make_person(*, email: str | None = None, password: str | None = None) -> Person:
    """Make a user who owns a workspace. Without a password (hashing costs 0.1 s) nobody can log in."""
    user = make_user(email=email, password=password)
    return Person(user.id, make_workspace(owner_id=user.id).id, user.email)


def make_user(*, email: str | None = None, password: str | None = None, **columns: Any) -> User:
    id_ = new_id()
    hashed = hash_password(password) if password else None
    address = email or f"user-{id_.hex[-12:]}@example.com"
    return _saved(User(**({"id": id_, "email": address, "password_hash": hashed} | columns)))


def make_workspace(*, owner_id: uuid.UUID, personal: bool = True, **columns: Any) -> Workspace:
    personal_user_id = owner_id if personal else None
    workspace = _saved(Workspace(**({"name": "Workspace", "personal_user_id": personal_user_id} | columns)))
    make_membership(workspace.id, owner_id, role="owner")
    return workspace


def make_membership(workspace_id: uuid.UUID, user_id: uuid.UUID, *, role: Role = "editor") -> Membership:
    return _saved(Membership(workspace_id=workspace_id, user_id=user_id, role=role))


def make_channel(workspace_id: uuid.UUID, *, platform: str = "tiktok", **columns: Any) -> Channel:
    """Make a connected account whose tokens live for a day; no platform is asked."""
    credential = make_credential(workspace_id, platform=platform)
    defaults = {"remote_id": f"account-{credential.id.hex[-12:]}", "username": "ada"}
    return _saved(
        Channel(
            workspace_id=workspace_id, credential_id=credential.id, platform=platform, **(defaults | columns)
        )
    )


def make_credential(workspace_id: uuid.UUID, *, platform: str = "tiktok", **columns: Any) -> Credential:
    id_ = new_id()
    tokens = Tokens(ACCESS_TOKEN, REFRESH_TOKEN, clock.now() + timedelta(days=1), None, frozenset())
    sealed = token_columns(id_, tokens, refresh_ahead=timedelta(hours=2))
    return _saved(Credential(id=id_, workspace_id=workspace_id, platform=platform, **(sealed | columns)))


def make_video(workspace_id: uuid.UUID, **columns: Any) -> Video:
    """Make a measured, ready video whose bytes are nowhere; `sha256` differs from any other's."""
    id_ = new_id()
    defaults = {
        "backend": "folder",
        "key": f"videos/{id_}/original.mp4",
        "size_bytes": FACTS.size_bytes,
        "sha256": hashlib.sha256(id_.bytes).hexdigest(),
        "content_type": "video/mp4",
        "filename": "clip.mp4",
        "state": "ready",
        "facts": FACTS.to_dict(),
        "ready_at": clock.now(),
    }
    return _saved(Video(id=id_, workspace_id=workspace_id, **(defaults | columns)))


def make_post(video: Video, *channels: Channel, state: str = "scheduled", **columns: Any) -> Post:
    """Make a post with a target in `state` on each channel, due in an hour unless `scheduled_at` says else."""
    due_at = columns.pop("scheduled_at", clock.now() + timedelta(hours=1))
    defaults = {"status": "scheduled", "caption": "Hello", "scheduled_at": due_at}
    post = _saved(Post(workspace_id=video.workspace_id, video_id=video.id, **(defaults | columns)))
    for channel in channels:
        make_target(post, video, channel, state=state, due_at=due_at, late_until=due_at + timedelta(hours=2))
    return post


def make_target(post: Post, video: Video, channel: Channel, **columns: Any) -> Target:
    defaults = {"content_hash": video.sha256, "state": "scheduled", "platform": channel.platform}
    return _saved(
        Target(
            workspace_id=post.workspace_id,
            post_id=post.id,
            video_id=video.id,
            channel_id=channel.id,
            **(defaults | columns),
        )
    )


def only_target(post: Post) -> Target:
    """Return the one target of a post."""
    return db.session.scalars(select(Target).where(Target.post_id == post.id)).one()


def make_connection(person: Person) -> Connection:
    """Make a consent under way."""
    columns = {
        "state_hash": new_id().hex,
        "nonce_hash": "-",
        "expires_at": clock.now() + timedelta(minutes=10),
    }
    return _saved(
        Connection(workspace_id=person.workspace_id, created_by=person.user_id, platform="tiktok", **columns)
    )


def make_session(person: Person) -> LoginSession:
    """Begin a session and return its row."""
    auth.begin_session(person.user_id)
    newest = (
        select(LoginSession).where(LoginSession.user_id == person.user_id).order_by(LoginSession.id.desc())
    )
    return db.session.scalars(newest.limit(1)).one()


def make_api_key(person: Person, *, scopes: tuple[str, ...] = SCOPES) -> str:
    """Make an API key to the person's workspace and return all of it."""
    return api_keys.create_api_key(person.principal, name="test", scopes=scopes).key


def make_access_token(person: Person) -> str:
    """Begin a session for the person, without the cost of a password."""
    return auth.begin_session(person.user_id).access_token


def _saved(row: Row) -> Row:
    db.session.add(row)
    db.session.commit()
    return row
