"""What comes after a post exists: its steps, its figures, and what platforms tell us. Reached through `base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class StepKind:
    """Something done once a post exists. `repeatable`: doing it twice changes nothing.

    What is not repeatable is never done again before `locate_step` said that it was not done.
    """

    name: str
    label: str
    repeatable: bool


@dataclass(frozen=True)
class PlannedStep:
    """A step of one post; `payload` is small and JSON: what to do. `kind` is a StepKind's name."""

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepDone:
    """The step's effect is there; `result` is JSON (an id, an address)."""

    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepNotDone:
    """The step certainly had no effect and can have none any more by itself: it may be done again."""


@dataclass(frozen=True)
class StepUnknown:
    """Nobody can tell whether the step had its effect; it is left as it is and said so."""

    reason: str


@dataclass(frozen=True)
class StepLater:
    """The step is not possible before `until` (the platform still works on the post)."""

    until: datetime
    reason: str = ""


@dataclass(frozen=True)
class Stats:
    """A post's figures as the platform counts them; None: not told, which is not zero.

    `watch_seconds` and `average_watch_seconds` are seconds; `more` holds what else the platform tells, by
    its own names.
    """

    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None
    saves: int | None = None
    reach: int | None = None
    watch_seconds: float | None = None
    average_watch_seconds: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PostingOptions:
    """What the account may post at present, asked from the platform.

    `choices` narrows an option's choices, `disabled` names boolean options that may not be true now.
    `posts_left` is how many posts the platform takes until `resets_at`; None: it does not tell.
    """

    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    disabled: Sequence[str] = ()
    max_duration_seconds: float | None = None
    posts_left: int | None = None
    resets_at: datetime | None = None


Purpose = Literal["webhook", "deauthorize", "data_deletion"]


@dataclass(frozen=True)
class Callback:
    """A request a platform sent us, unchecked. `headers` keys are lower case."""

    purpose: Purpose
    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Notice:
    """Something a platform told us, proven to come from it. A hint only: what is true is asked.

    `changed`: ask about the posts of account `id`. `revoked`: the consent of user or account `id` is gone.
    `delete`: that person wants everything we keep of them deleted. `at` is when it happened, where that is
    told: a consent given since is not the one that ended.
    """

    what: Literal["changed", "revoked", "delete"]
    id: str
    at: datetime | None = None


@dataclass(frozen=True)
class Received:
    """What a callback meant, and the text to answer it with."""

    notices: Sequence[Notice] = ()
    answer: str = ""
