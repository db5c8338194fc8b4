"""What a consent opened, on its way from the browser's return to the choice: packed as text, to be sealed.

Beside the grant's tokens it holds what only the chosen accounts are to keep: their own tokens and details.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.models.base import JsonObject
from app.platforms.base import RemoteAccount, Tokens

MAX_TEXT = 200  # characters of a name or id a platform gives us
MAX_URL = 2000
TIMES = ("expires_at", "refresh_expires_at")


@dataclass(frozen=True)
class Grant:
    """A grant and, by account id, what belongs to one account alone: `access_token` (or None) and `details`."""

    tokens: Tokens
    own: Mapping[str, JsonObject] = field(repr=False)


def offered(accounts: Sequence[RemoteAccount]) -> list[RemoteAccount]:
    """Return the accounts that can be told apart by an id that can be stored."""
    return [
        account for account in accounts if account.remote_id and account.remote_id == plain(account.remote_id)
    ]


def choices(accounts: Sequence[RemoteAccount]) -> list[JsonObject]:
    """Return the accounts as they are offered: nothing secret, and nothing in them that could do harm."""
    return [
        {
            "id": account.remote_id,
            "username": plain(account.username),
            "display_name": plain(account.display_name),
            "avatar_url": _url(account.avatar_url),
            "profile_url": _url(account.profile_url),
        }
        for account in accounts
    ]


def plain(value: Any) -> Any:
    """Return a text, or texts within JSON, as every database can store it, cut at 200 characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")[:MAX_TEXT]
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _url(value: str | None) -> str | None:
    """Return an address a page may link to, or None."""
    usable = value is not None and value.startswith(("https://", "http://")) and value.isascii()
    return value if usable and value is not None and len(value) <= MAX_URL else None


def pack(tokens: Tokens, accounts: Sequence[RemoteAccount]) -> str:
    """Return both as text. It holds secrets: seal it."""
    values = {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "scopes": sorted(tokens.scopes),
        "user_id": plain(tokens.user_id),
    }
    values |= {name: moment.isoformat() if (moment := getattr(tokens, name)) else None for name in TIMES}
    own = {
        account.remote_id: {"access_token": account.access_token, "details": plain(account.details)}
        for account in accounts
    }
    return json.dumps({"tokens": values, "own": own})


def unpack(text: str) -> Grant:
    """Return what `pack` packed."""
    packed = json.loads(text)
    values = packed["tokens"]
    times = {name: datetime.fromisoformat(values[name]) if values[name] else None for name in TIMES}
    return Grant(Tokens(**(values | times | {"scopes": frozenset(values["scopes"])})), packed["own"])
