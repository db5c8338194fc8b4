"""How staging, committing and asking end. Reached through `base`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from app.exceptions import PlatformAPIError


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
class NotStaged:
    """The platform has less of the upload than was staged; call `stage` again with the same handle."""

    reason: str


@dataclass(frozen=True)
class Published:
    """The platform says the post exists. `remote_id` and `permalink` may come later (watch).

    `matched`: the id was found by the post's looks, not told by its handle; an id another of our posts has is not ours.
    """

    remote_id: str | None
    permalink: str | None
    complete: bool = True  # False: ask again for id or permalink
    matched: bool = field(default=False, compare=False)


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
