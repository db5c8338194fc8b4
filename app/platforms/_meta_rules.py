"""How Meta's answers are understood, whichever product gave them: tables of codes, and how long to wait.

Source unless named otherwise: developers.facebook.com, Graph API v26.0, error handling and rate limiting, read
2026-11. A platform lays its own rows over these; a subcode goes before its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from app.exceptions import ErrorKind, PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms._meta_usage import ACCOUNT, APP
from app.platforms.base import BLOCKED, UNTOLD, Quota

GONE = "100/33"  # the object does not exist, or this token may not see it
_DAY = timedelta(hours=24)


class Row(NamedTuple):
    """How one code is understood. `{label}` in the sentence is the platform's name.

    `wait` is how long trying again is pointless. `doubtful`: on a call that publishes it does not say that
    nothing was published. `blocks`: it is the account that may post nothing at present, whatever the post.
    `whose`: APP or ACCOUNT of `_meta_usage`, whose calls are used up.
    """

    raises: type[PlatformAPIError]
    kind: ErrorKind
    sentence: str
    wait: timedelta | None = None
    doubtful: bool = False
    blocks: bool = False
    whose: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the details of its errors always hold."""
        return {BLOCKED: True} if self.blocks else {}


@dataclass(frozen=True)
class Tables:
    """What codes mean, by number. Subcodes are looked up first."""

    subcodes: Mapping[int, Row] = field(default_factory=dict)
    codes: Mapping[int, Row] = field(default_factory=dict)

    def row(self, code: int | None, subcode: int | None) -> Row | None:
        """Return what a pair means here, else generally, else None."""
        found = (self.subcodes.get(subcode or 0), self.codes.get(code or 0))
        generic = (_SUBCODES.get((code or 0, subcode or 0)), _CODES.get(code or 0), _by_range(code or 0))
        return next((row for row in (*found, *generic) if row is not None), None)


_DEAD = "{label} no longer accepts this connection. Reconnect the channel."
_SCOPE = (
    "{label} was not given the permission this needs. Reconnect the channel and allow everything asked for."
)
_LOGIN = "{label} wants you to log in at facebook.com and confirm your account. Do that, then reconnect."
_SLOW = "{label} asks us to slow down. We try again later."
_OWN_FAULT = "{label} had an error of its own. We try again."
_BLOCKED = (
    "{label} has blocked this account from posting for a while. Look at the account's messages there, then resume "
    "the channel."
)
_REFUSED = "{label} refused this. See the code."


def auth(sentence: str = _DEAD) -> Row:
    """Return a row for a connection that must be made anew."""
    return Row(PlatformAuthError, "reauth", sentence)


def rate(wait: timedelta | None = None, sentence: str = _SLOW, *, whose: str = "") -> Row:
    """Return a row for too many calls; without a wait the answer's headers say when to come back."""
    return Row(PlatformRateLimitError, "rate", sentence, wait, whose=whose)


def refused(kind: ErrorKind, sentence: str = _REFUSED) -> Row:
    """Return a row for a clear refusal of that kind."""
    return Row(PlatformAPIError, kind, sentence)


def blocked(sentence: str) -> Row:
    """Return a row for an account that may post nothing until a person has looked after it."""
    return Row(PlatformAPIError, "account", sentence, blocks=True)


def passing(sentence: str = _OWN_FAULT) -> Row:
    """Return a row for trouble that passes; on a call that publishes it leaves in doubt what happened."""
    return Row(PlatformAPIError, "transient", sentence, doubtful=True)


_CODES: Mapping[int, Row] = {
    1: passing(),
    2: passing(),
    3: auth(_SCOPE),
    4: rate(whose=APP),
    10: auth(_SCOPE),
    17: rate(whose=ACCOUNT),
    32: rate(whose=ACCOUNT),
    100: refused("content", "{label} refused the post's text or settings. Check them; see the code."),
    101: refused("config", "{label} does not know this installation's app. Check the app id and secret."),
    102: auth(),
    190: auth(),
    341: rate(_DAY, "{label} says that this account has done this too often. We try again tomorrow."),
    368: blocked(_BLOCKED),
    506: refused("content", "{label} takes this for a post made a moment ago. Change its text."),
    613: rate(),
    803: refused("config"),
    2500: refused("config"),
    80001: rate(whose=ACCOUNT),
    80002: rate(whose=ACCOUNT),
}
_SUBCODES: Mapping[tuple[int, int], Row] = {
    (100, 33): refused(
        "content", "{label} does not know this any more, or does not show it to this account."
    ),
    **{
        (190, subcode): auth(sentence)
        for subcode, sentence in {
            458: "The permission was taken back at {label}. Reconnect the channel.",
            459: _LOGIN,
            460: "The password at {label} was changed, which ended the connection. Reconnect the channel.",
            463: "The connection to {label} has expired. Reconnect the channel.",
            464: _LOGIN,
            467: _DEAD,
            490: _LOGIN,
            492: "You no longer have the role at {label} that this needs. Have it given back, then reconnect.",
        }.items()
    },
}


def _by_range(code: int) -> Row | None:
    return auth(_SCOPE) if 200 <= code <= 299 else None


NO_ROOM = Row(
    PlatformRateLimitError,
    "rate",
    "{label} says that nearly all calls it allows for now are used. We wait rather than run into its limit.",
)
CALLS = "calls"  # the bucket of an account's calls


def call_quotas(*apps: str) -> tuple[Quota, ...]:
    """Return the quotas of calls, of these apps and of each account: Meta counts, its word closes them."""
    source = "developers.facebook.com, Graph API, rate limits, 2026-11"
    hour = timedelta(hours=1)
    return (
        *(Quota(app, UNTOLD, hour, "app", source, posts=False) for app in apps),
        Quota(CALLS, UNTOLD, hour, "channel", source, posts=False),
    )


def row_for_status(status: int) -> Row:
    """Return how an answer without a known code is understood, by its HTTP status."""
    if status == 401:
        return auth()
    if status == 429:
        return rate()
    return passing() if status >= 500 else Row(PlatformAPIError, "content", _REFUSED, doubtful=True)


# type of an upload host's debug_info
OFFSET_WRONG = frozenset({"OffsetInvalidError", "PartialRequestError"})  # ask what it has, then go on there
UPLOAD_TYPES: Mapping[str, Row] = {
    "OffsetInvalidError": passing(
        "{label} has another part of the upload than we thought. We ask and go on."
    ),
    "PartialRequestError": passing("{label} got only a part of the upload. We ask and go on."),
    "ProcessingFailedError": passing("{label} could not work on what was uploaded. We ask what it has."),
}
