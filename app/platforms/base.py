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

from app import clock
from app.domain.video_spec import VideoFacts, VideoSpec
from app.exceptions import PlatformAPIError
from app.platforms._aftermath import (
    Callback,
    Notice,
    PlannedStep,
    PostingOptions,
    Purpose,
    Received,
    Stats,
    StepDone,
    StepKind,
    StepLater,
    StepNotDone,
    StepUnknown,
)
from app.platforms._covers import Cover, Thumbnail, cover_problem
from app.platforms._grants import Consent, Login, RemoteAccount, Tokens
from app.platforms._options import (
    Option,
    Problem,
    TextLimit,
    option_problems,
    text_problem,
    with_defaults,
)
from app.platforms._results import (
    Accepted,
    AwaitingUser,
    CommitResult,
    HandleDead,
    LocateResult,
    NotCommitted,
    NotStaged,
    Pending,
    PreparedCommit,
    Published,
    Rejected,
    Staged,
    Unknown,
    Wait,
)
from app.platforms.http import HttpClient

__all__ = [
    "BLOCKED", "UNTOLD", "Accepted", "AwaitingUser", "Callback", "CommitResult", "Consent", "Cover", "HandleDead",
    "LocateResult", "Login", "NotCommitted", "NotStaged", "Notice", "Option", "Pending", "PlannedStep",
    "PostingOptions", "PreparedCommit", "Problem", "Published", "Purpose", "Received", "Rejected", "RemoteAccount",
    "Staged", "Stats", "StepDone", "StepKind", "StepLater", "StepNotDone", "StepUnknown", "TextLimit", "Thumbnail",
    "Tokens", "Unknown", "Wait", "cover_problem", "option_problems", "text_problem", "with_defaults",
]  # fmt: skip

Handle = Mapping[str, Any]  # JSON-able; carries credentials of the platform, so it is encrypted at rest
Guarantee = Literal["resumable", "keyed", "listable", "opaque"]
BLOCKED = "blocked"  # true in an error's details: the account may post nothing at present, whatever the post
HANDLE_MARGIN = timedelta(minutes=2)  # no commit is made with a handle that ends sooner after it
UNTOLD = 1_000_000_000  # a quota's limit where the platform tells none: more than anybody uses

GUARANTEES: dict[Guarantee, str] = {
    "resumable": "Exactly once: the platform keeps a handle of each upload that tells what became of it.",
    "keyed": "Exactly once: the platform recognises a repeated post by the key we send.",
    "listable": "At most once: after a cut-off call we look for the post in the account's own list.",
    "opaque": "At most once: after a cut-off call the platform cannot be asked; a person decides.",
}


def should_renew(expires_at: datetime, due_at: datetime, *, life: timedelta) -> bool:
    """Return whether a new handle, good for `life`, would serve better: this one ends before the due time, it not."""
    now = clock.now()
    needed_until = max(due_at, now) + HANDLE_MARGIN
    return now > expires_at or expires_at < needed_until <= now + life


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
    """A connected account as adapters see it. `access_token` is fresh for the length of the call.

    It is the account's own token where it has one (see RemoteAccount), else the grant's.
    """

    remote_id: str
    username: str
    access_token: str = field(repr=False)
    scopes: frozenset[str] = frozenset()
    details: Mapping[str, Any] = field(default_factory=dict)


def _no_link(_what: str) -> str:
    raise PlatformAPIError("There is no public address of this file.", kind="config")


@dataclass(frozen=True)
class PublishRequest:
    """Everything an adapter may know of one target, frozen.

    `attempt_key` names this attempt for platforms that take idempotency keys; `should_yield` turns true when a
    stage should stop at its next chunk boundary and let others go first. `reserve(bucket, cost)` counts a call
    against one of the platform's `stage` quotas, to be asked right before the call; it raises
    PlatformRateLimitError when the window is used up. `reserve_ahead` does so for a call that the commit will make,
    in the window of the due time. `public_link` gives an address anybody can fetch the
    video or its thumbnail from for a day. `thumbnail` gives None when there is none.
    `public_link` and `thumbnail` may be used while staging and in steps only.
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
    committed_at: datetime | None = None  # when the intent of the commit that is asked about was written
    doubt: str | None = None  # the platform's code in the answer that left that commit in doubt
    should_yield: Callable[[], bool] = lambda: False
    thumbnail_at: float | None = None  # seconds; None: it shows no frame of the video
    thumbnail: Callable[[], ByteSource | None] = field(default=lambda: None, repr=False)
    public_link: Callable[[Literal["video", "thumbnail"]], str] = field(default=_no_link, repr=False)
    reserve: Callable[[str, int], None] = lambda _bucket, _cost: None
    reserve_ahead: Callable[[str, int], None] = lambda _bucket, _cost: None


@dataclass(frozen=True)
class Quota:
    """A limit the platform sets: `limit` units per `window`, for the whole app or for each channel.

    `phase` says who counts: `stage` by the adapter through `PublishRequest.reserve`, `commit` by the machinery,
    one for each post, with the intent. `timezone`: the window is a calendar day there; None: it begins with
    its first use. Windows of an hour or less are rates, longer ones quotas (`if_over_quota` decides).
    `posts`: one unit is one post, so that scheduling can say when a day is promised away.
    An error that says that it is used up names it in its details as `bucket`; then nobody else runs into it.
    `limit` UNTOLD: the platform counts by itself and tells no number; only its word closes the window.
    """

    bucket: str
    limit: int
    window: timedelta
    scope: Literal["app", "channel"]
    source: str
    phase: Literal["stage", "commit"] = "stage"
    timezone: str | None = None
    posts: bool = True


@dataclass(frozen=True)
class PlatformConfig:
    """What the installation gives an adapter: its own settings, and where people come back to."""

    settings: Mapping[str, str] = field(repr=False)
    callback_url: str
    sandbox: bool = False
    pace: float = (
        1.0  # divides every wait of an adapter; above 1 in proofs against a sandbox that is as quick
    )

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
    post_types: ClassVar[Mapping[str, VideoSpec]]  # what a post can be there, and the limits of each kind
    cover: ClassVar[Cover | None] = None  # what option `use_thumbnail` needs
    text_limits: ClassVar[tuple[TextLimit, ...]]
    options: tuple[Option, ...]  # of an instance they may differ, by its settings; so may the quotas
    quotas: tuple[Quota, ...] = ()
    logins: ClassVar[tuple[Login, ...]] = ()  # where there are several ways to connect, else none
    step_kinds: ClassVar[tuple[StepKind, ...]] = ()
    can_remove: ClassVar[bool] = False
    max_stats: ClassVar[int] = 0  # how many posts one call of `stats` may ask for; 0: it tells no figures
    callbacks: ClassVar[tuple[str, ...]] = ()  # the purposes of callbacks it takes; see Callback
    # Any one of these permissions is needed: by "" for posting at all, by an option's name or by name=value.
    scope_for: ClassVar[Mapping[str, frozenset[str]]] = {}
    refresh_ahead: ClassVar[timedelta] = timedelta(hours=2)
    watch_for: ClassVar[timedelta] = timedelta(hours=24)  # how long a published post is watched for removal
    settle: ClassVar[timedelta] = timedelta(seconds=5)  # a platform's own lag before it can be asked
    max_repeats: ClassVar[int | None] = None  # of a commit located as not committed, by one handle; None: any

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        self.config = config
        self.http = http

    def after(self, seconds: float) -> datetime:
        """Return the instant that many seconds from now, at the installation's pace."""
        return clock.now() + self.lasting(seconds)

    def lasting(self, seconds: float) -> timedelta:
        """Return how long that many seconds of a platform's protocol last, at the installation's pace."""
        return timedelta(seconds=seconds / self.config.pace)

    # -- connecting

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> bool:
        """Return whether the installation has what this platform needs (client id and secret)."""
        if cls.logins:
            return any(all(settings[name] for name in login.settings) for login in cls.logins)
        return all(settings[spec.name] for spec in cls.settings if spec.secret)

    @abc.abstractmethod
    def consent(self, *, state: str, login: str = "") -> Consent:
        """Return where the person consents, by one of `logins`. `state` comes back in the callback."""

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

    def spec_for(self, facts: VideoFacts, options: Mapping[str, Any]) -> VideoSpec:
        """Return the limits a video has to keep, as what it would be posted as with these options."""
        return self.post_types[self.post_type(facts, options)]

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        """Return what of the texts and options this platform would refuse, counted as it counts."""
        texts = {"title": title, "caption": caption}
        return [
            *(problem for limit in self.text_limits if (problem := text_problem(limit, texts[limit.field]))),
            *option_problems(self.options, options),
        ]

    def post_type(self, facts: VideoFacts, options: Mapping[str, Any]) -> str:
        """Return which of `post_types` a video is posted as, with these options."""
        return self.type_of(facts, options) or next(iter(self.post_types))

    @staticmethod
    def type_of(facts: VideoFacts, options: Mapping[str, Any]) -> str | None:  # noqa: ARG004 - to be overridden
        """Return which of several `post_types` it is; None: there is one."""
        return None

    def posting_options(self, account: Account) -> PostingOptions:  # noqa: ARG002 - for those who override it
        """Ask what the account may post at present."""
        return PostingOptions()

    # -- publishing

    @abc.abstractmethod
    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        """Do everything up to the point of no return, continuing from `handle`.

        `save(handle)` must be called the moment an external id or progress is known; it raises LeaseLost.
        """

    @abc.abstractmethod
    def preflight(self, request: PublishRequest, handle: Handle) -> NotStaged | None:
        """Ask whether the post may go out now: None if so. Raises the typed error if not. Changes nothing."""

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

    # -- afterwards

    def plan_steps(
        self,
        request: PublishRequest,  # noqa: ARG002 - for those who override it
        handle: Handle,  # noqa: ARG002
    ) -> Sequence[PlannedStep]:
        """Return what is to follow this post, from its options alone; no network. At most one of each kind."""
        return ()

    def perform_step(self, request: PublishRequest, step: PlannedStep) -> StepDone | StepLater:
        """Do one step of a published post (`request.remote_id`). Raises the typed error.

        Of a step that is not repeatable, an error of kind ambiguous says that it may have been done.
        """
        raise NotImplementedError(step.kind)

    def locate_step(
        self, request: PublishRequest, step: PlannedStep
    ) -> StepDone | StepNotDone | StepLater | StepUnknown:
        """Ask whether a step that is not repeatable was done. Changes nothing."""
        raise NotImplementedError(step.kind)

    def stats(self, account: Account, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
        """Return the figures of up to `max_stats` posts; those the platform does not know are left out."""
        raise NotImplementedError(self.name)

    def remove(self, account: Account, remote_id: str) -> None:
        """Delete a post. One that is gone already is no error."""
        raise NotImplementedError(self.name)

    def receive(self, callback: Callback) -> Received:
        """Prove that a callback comes from the platform and say what it means.

        Raises AuthorizationError for one that does not prove it.
        """
        raise NotImplementedError(self.name)
