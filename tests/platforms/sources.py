"""What an adapter is given in tests: bytes to upload, and a case for each platform."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, BinaryIO

from app import clock
from app.platforms.base import Account, PublishRequest


@dataclass(frozen=True)
class MemorySource:
    data: bytes = field(repr=False)
    content_type: str = "video/mp4"

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self, start: int, length: int) -> BinaryIO:
        return io.BytesIO(self.data[start : start + length])


@dataclass(frozen=True)
class Case:
    """What the contract suite must know of a platform, besides its adapter.

    `commit`, `ask` and `refresh` are the sandbox's operations; `stretch` is a size in bytes that stages in
    at least three steps; `handle_seconds` how long a staged handle lives, None for ever; `overdue` the sandbox's
    settings under which it goes on as if a handle past its time were alive, where it may; `secret_keys` what of a
    handle is secret; `hijack` an answer to `begin` that names an upload address elsewhere, with "stolen" in it,
    in its body or, `hijack_headers`, in its headers. `comment` is the operation that writes the first comment,
    asked for by an option of that name; empty where there is none. `login` is the way to connect that is tried.

    The flags say what kind of platform it is: whether the commit carries the last bytes (then it can be stored
    in part), whether a repeated commit is answered as done rather than in doubt, whether refreshing gives a new
    refresh token, whether grants can be refreshed at all, whether consent is tied to a PKCE verifier, whether the
    answer to `begin` is in its body (then it can be cut off).
    """

    name: str
    options: Mapping[str, Any]
    scopes: frozenset[str]
    commit: str
    ask: str
    refresh: str
    begin: str
    stretch: int
    handle_seconds: float | None
    secret_keys: tuple[str, ...]
    hijack: Mapping[str, Any]
    hijack_headers: Mapping[str, str] = field(default_factory=dict)
    overdue: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""
    login: str = ""
    commits_bytes: bool = True
    repeats_commit: bool = False
    rotates: bool = True
    refreshes: bool = True
    has_verifier: bool = True
    begins_in_body: bool = True

    @property
    def life(self) -> timedelta:
        """How long a staged handle lives, of a platform whose handles die."""
        assert self.handle_seconds is not None
        return timedelta(seconds=self.handle_seconds)


def some_bytes(size: int, *, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


def make_request(case: Case, token: Mapping[str, Any], data: bytes, **changes: Any) -> PublishRequest:
    account = Account(token["remote_id"], "sandbox_creator", token["access_token"], case.scopes)
    facts: dict[str, Any] = {
        "target_id": "t1",
        "account": account,
        "source": MemorySource(data),
        "title": "A title",
        "caption": "A caption",
        "options": case.options,
        "duration_seconds": 8.0,
        "width": 720,
        "height": 1280,
        "due_at": clock.now() + timedelta(minutes=10),
    }
    return PublishRequest(**facts | changes)
