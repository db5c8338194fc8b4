"""What connecting an account is about: ways to log in, grants, and the accounts they open. Reached through `base`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Login:
    """One of several ways to connect accounts of a platform; `settings` are what an installation needs for it."""

    name: str
    label: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """A grant's tokens as the platform gave them. `refresh_token` None: keep the old one.

    `expires_at` None: does not end by time. `refresh_expires_at` is when the grant itself ends unless the
    person consents again. `user_id` names the person at the platform: its callbacks ask by it.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None
    refresh_expires_at: datetime | None
    scopes: frozenset[str]
    user_id: str | None = None


@dataclass(frozen=True)
class RemoteAccount:
    """An account a consent opened, to be offered as a channel.

    `access_token`: the account's own, where the grant's token is not the one to post with (Pages).
    `details`: what the adapter wants to see again in `Account.details`; small, JSON, not secret.
    """

    remote_id: str
    username: str
    display_name: str
    avatar_url: str | None = None
    profile_url: str | None = None
    access_token: str | None = field(default=None, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Consent:
    """Where to send the person's browser, and what to keep (encrypted) until they come back."""

    authorize_url: str
    verifier: str = field(repr=False)
