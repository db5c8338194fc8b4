"""Who may log in at the stand-in platforms (accounts) and which apps they know (clients)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass
class Account:
    """A person on one platform. `cannot_post` is the platform's code while posting is refused, or empty."""

    platform: str
    username: str
    nickname: str = ""
    private: bool = False
    max_duration_seconds: int = 600
    comment_disabled: bool = False
    duet_disabled: bool = False
    stitch_disabled: bool = False
    cannot_post: str = ""
    privacy_options: list[str] = field(default_factory=list)  # empty: what `private` implies

    @property
    def key(self) -> str:
        return f"{self.platform}/{self.username}"

    @property
    def remote_id(self) -> str:
        """Return the platform's opaque id of the account: stable over resets."""
        return "-000" + hashlib.sha256(self.key.encode()).hexdigest()[:44]


@dataclass
class Client:
    """An app registered at one platform."""

    platform: str
    client_id: str
    secret: str
    redirect_uris: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.platform}/{self.client_id}"

    def accepts(self, redirect_uri: str, *, any_loopback: bool) -> bool:
        """Tell whether consent may return there: registered exactly, or any loopback address."""
        if redirect_uri in self.redirect_uris:
            return True
        return any_loopback and urlsplit(redirect_uri).hostname in _LOOPBACK
