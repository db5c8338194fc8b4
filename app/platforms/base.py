"""What a platform is: one subclass of `Platform`, frozen values in and out, no Flask, no database.

A post's way: `stage` (repeatable, resumable, invisible to the public) -> `preflight` (may it go now?) ->
`commit` (the one call that makes the post exist) -> `locate` (ask what became of it). `stage` may be
called again at any time with the handle it saved last; `commit` is called only after the caller has written
down that it is about to; a commit whose answer never came is never repeated before `locate` said
`NotCommitted`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO, ClassVar, Literal, Protocol

from app.domain.video_spec import VideoSpec
from app.exceptions import PlatformAPIError
from app.platforms._options import (
    Option,
    Problem,
    TextLimit,
    option_problems,
    text_problem,
    with_defaults,
)
from app.platforms.http import HttpClient

__all__ = ["Option", "Problem", "TextLimit", "option_problems", "text_problem", "with_defaults"]

Handle = Mapping[str, Any]  # JSON-able; carries credentials of the platform, so it is encrypted at rest
Guarantee = Literal["resumable", "keyed", "listable", "opaque"]

GUARANTEES: dict[Guarantee, str] = {
    "resumable": "Exactly once: the platform keeps a handle of each upload that tells what became of it.",
    "keyed": "Exactly once: the platform recognises a repeated post by the key we send.",
    "listable": "At most once: after a cut-off call we look for the post in the account's own list.",
    "opaque": "At most once: after a cut-off call the platform cannot be asked; a person decides.",
}


class LeaseLost(Exception):  # noqa: N818 - a normal end, not an error
    """Another worker owns this target now; stop without touching anything."""


@dataclass(frozen=True)
class Setting:
    """One setting of a platform, read from the environment as PLATFORM_NAME.

    `role` says what an address is for: `server` is one we call, `hosts` are comma-separated patterns of hosts
    that may appear in URLs the platform hands us, `browser` is one only people visit. We speak to no other.
    """

    name: str
    default: str
    doc: str
    secret: bool = False
    role: Literal["value", "server", "hosts", "browser"] = "value"


class ByteSource(Protocol):
    """The rendition to upload. `open` streams `length` bytes from `start`; it never holds the file."""

    @property
    def size(self) -> int: ...
    @property
    def content_type(self) -> str: ...
    def open(self, start: int, length: int) -> BinaryIO: ...


@dataclass(frozen=True)
class Account:
    """A connected account as adapters see it. `access_token` is fresh for the length of the call."""

    remote_id: str
    username: str
    access_token: str = field(repr=False)
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PublishRequest:
    """Everything an adapter may know of one target, frozen.

    `attempt_key` names this attempt for platforms that take idempotency keys; `yield_after` is a callable
    that turns true when a stage should stop at its next chunk boundary and let others go first.
    """

    target_id: str
    account: Account
    source: ByteSource
    title: str
    caption: str
    options: Mapping[str, Any]
    duration_seconds: float | None
    width: int | None
    height: int | None
    due_at: datetime
    attempt_key: str = ""
    remote_id: str | None = None  # once known; lets `watch` notice that a post is gone
    should_yield: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Staged:
    """Everything before the point of no return is done; the handle is good until `expires_at`."""

    expires_at: datetime | None


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`; call `stage` again then with the saved handle."""

    until: datetime
    reason: str = ""


@dataclass(frozen=True)
class Published:
    """The platform says the post exists. `remote_id` and `permalink` may come later (watch)."""

    remote_id: str | None
    permalink: str | None
    complete: bool = True  # False: ask again for id or permalink


@dataclass(frozen=True)
class Accepted:
    """The commit call succeeded, the platform still works on it: `locate` settles it, from `check_at` on."""

    check_at: datetime


@dataclass(frozen=True)
class AwaitingUser:
    """The account's owner must finish the post in the platform's own app before `deadline`."""

    deadline: datetime
    message: str


@dataclass(frozen=True)
class Pending:
    """The platform has not decided yet; ask again at `until`."""

    until: datetime


@dataclass(frozen=True)
class NotCommitted:
    """The commit certainly did not happen and cannot happen any more by itself; same handle, commit again."""


@dataclass(frozen=True)
class HandleDead:
    """The commit certainly did not happen and the handle is of no more use: stage anew."""

    reason: str = ""


@dataclass(frozen=True)
class Rejected:
    """The platform took the upload and refused the post; the post does not exist."""

    error: PlatformAPIError


@dataclass(frozen=True)
class Unknown:
    """The platform cannot tell; a person must look."""

    reason: str


CommitResult = Published | Accepted | AwaitingUser | HandleDead
LocateResult = Published | Pending | NotCommitted | HandleDead | Rejected | Unknown | AwaitingUser


@dataclass(frozen=True)
class PreparedCommit:
    """A commit call ready to be made: bytes in memory, connection warm. `send` makes it, once.

    `deadline` is the total time in seconds the call may take. Built by `Platform.prepare_commit` up to two
    seconds before the due time, so that `send` does nothing but send.
    """

    send: Callable[[float], CommitResult]


@dataclass(frozen=True)
class Tokens:
    """A grant's tokens as the platform gave them. `refresh_token` None: keep the old one."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None
    refresh_expires_at: datetime | None
    scopes: frozenset[str]


@dataclass(frozen=True)
class RemoteAccount:
    """An account a consent opened, to be offered as a channel."""

    remote_id: str
    username: str
    display_name: str
    avatar_url: str | None = None
    profile_url: str | None = None


@dataclass(frozen=True)
class Consent:
    """Where to send the person's browser, and what to keep (encrypted) until they come back."""

    authorize_url: str
    verifier: str = field(repr=False)


@dataclass(frozen=True)
class Quota:
    """A limit the platform sets on posting: `limit` reservations per `window` and `scope`."""

    bucket: str
    limit: int
    window: timedelta
    scope: Literal["app", "channel"]
    source: str


@dataclass(frozen=True)
class PlatformConfig:
    """What the installation gives an adapter: its own settings, and where people come back to."""

    settings: Mapping[str, str] = field(repr=False)
    callback_url: str
    sandbox: bool = False

    def __getitem__(self, name: str) -> str:
        return self.settings[name]


class Platform(abc.ABC):
    """Base of all adapters. An instance is cheap, holds no state of posts and is used by many threads."""

    name: ClassVar[str]
    label: ClassVar[str]
    guarantee: ClassVar[Guarantee]
    stage_ahead: ClassVar[timedelta]
    settings: ClassVar[tuple[Setting, ...]]
    scopes: ClassVar[tuple[str, ...]]
    video_spec: ClassVar[VideoSpec]
    text_limits: ClassVar[tuple[TextLimit, ...]]
    options: ClassVar[tuple[Option, ...]]
    quotas: ClassVar[tuple[Quota, ...]] = ()
    refresh_ahead: ClassVar[timedelta] = timedelta(hours=2)
    watch_for: ClassVar[timedelta] = timedelta(hours=24)  # how long a published post is watched for removal
    settle: ClassVar[timedelta] = timedelta(seconds=5)  # a platform's own lag before it can be asked

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        self.config = config
        self.http = http

    # -- connecting

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> bool:
        """Return whether the installation has what this platform needs (client id and secret)."""
        return all(settings[spec.name] for spec in cls.settings if spec.secret)

    @abc.abstractmethod
    def consent(self, *, state: str) -> Consent:
        """Return where the person consents. `state` comes back in the callback."""

    @abc.abstractmethod
    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        """Turn the callback's query into tokens. Raises PlatformAuthError if consent was denied."""

    @abc.abstractmethod
    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        """Return the accounts these tokens open."""

    @abc.abstractmethod
    def refresh(self, refresh_token: str) -> Tokens:
        """Trade the refresh token. May rotate: what comes back must be saved before it is used.

        Raises PlatformAuthError only when the platform says the grant is dead; passing trouble is transient.
        """

    @abc.abstractmethod
    def revoke(self, tokens: Tokens) -> None:
        """Give the grant back, best effort."""

    # -- validation that needs no network

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        """Return what of the texts and options this platform would refuse, counted as it counts."""
        texts = {"title": title, "caption": caption}
        return [
            *(problem for limit in self.text_limits if (problem := text_problem(limit, texts[limit.field]))),
            *option_problems(self.options, options),
        ]

    # -- publishing

    @abc.abstractmethod
    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        """Do everything up to the point of no return, continuing from `handle`.

        `save(handle)` must be called the moment an external id or progress is known; it raises LeaseLost.
        """

    @abc.abstractmethod
    def preflight(self, request: PublishRequest, handle: Handle) -> None:
        """Ask whether the post may go out now. Raises the typed error if not. Changes nothing."""

    @abc.abstractmethod
    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        """Arm the commit: read the last bytes, warm the connection. Publishes nothing."""

    @abc.abstractmethod
    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask what became of the commit. Never changes anything."""

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask about a published post: late id, permalink, removal. Default: as locate."""
        return self.locate(request, handle)

    def slow_commit(self, handle: Handle) -> bool:  # noqa: ARG002 - for those who override it
        """Return whether the commit sends so many bytes that it must have a job and a lease of its own."""
        return False

    def commit_bytes(self, handle: Handle) -> int:  # noqa: ARG002 - for those who override it
        """Return how many bytes the commit call sends; its lease and deadline grow with them."""
        return 0
