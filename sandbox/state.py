"""Everything the sandbox knows, in one object that the platforms' files share."""

from __future__ import annotations

import fcntl
import threading
import time
from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypeVar, cast

from flask import current_app

from sandbox.accounts import Account, Client
from sandbox.clock import VirtualClock
from sandbox.comments import Comment
from sandbox.faults import FaultEngine
from sandbox.oauth import Code, Grant, Token
from sandbox.posts import Post
from sandbox.recorder import Recorder
from sandbox.settings import SandboxSettings
from sandbox.store import Collection, Document, Store
from sandbox.uploads import Upload, UploadFiles

CLIENT_ID, CLIENT_SECRET = "sandbox-client-key", "sandbox-client-secret"
USERNAMES = ("sandbox_creator", "sandbox_second")
T = TypeVar("T", bound=Document)


@dataclass
class _Clock:
    """The clock as it is stored."""

    offset: float = 0.0
    frozen_at: float | None = None
    key: str = "clock"


class Sandbox:
    """Collections outlive a kill; faults, the record of requests and the rate limits' windows do not."""

    def __init__(self, state_dir: Path, *, platforms: list[str], speed: float = 1.0) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._lock_file = _claim(state_dir)
        self.platforms, self._speed = platforms, speed
        self.store = Store(state_dir / "sandbox.db")
        self.files = UploadFiles(state_dir / "files")
        self.accounts = self._collection("account", Account)
        self.clients = self._collection("client", Client)
        self.codes = self._collection("code", Code)
        self.grants = self._collection("grant", Grant)
        self.tokens = self._collection("token", Token)
        self.uploads = self._collection("upload", Upload)
        self.posts = self._collection("post", Post)
        self.comments = self._collection("comment", Comment)
        self._settings = self._collection("settings", SandboxSettings)
        self._clock = self._collection("clock", _Clock)
        self.faults, self.recorder, self.rates = FaultEngine(), Recorder(), Rates()
        self.settings = self._settings.get("settings") or SandboxSettings()
        self.settings.speed = speed
        stored = self._clock.get("clock") or _Clock()
        self.clock = VirtualClock(stored.offset, stored.frozen_at)
        self._seed()

    def _collection(self, kind: str, cls: type[T]) -> Collection[T]:
        return Collection(self.store, kind, cls)

    def _seed(self) -> None:
        """Give each platform the default client and accounts unless they are there."""
        for platform in self.platforms:
            if self.clients.get(f"{platform}/{CLIENT_ID}") is None:
                self.clients.put(Client(platform, CLIENT_ID, CLIENT_SECRET))
            for username in USERNAMES:
                if self.accounts.get(f"{platform}/{username}") is None:
                    self.accounts.put(Account(platform, username, username.replace("_", " ").title()))

    def reset(self, *, keep: set[str]) -> None:
        """Return to the first state. `keep` may hold `accounts`, `tokens`, `settings`, `clock`.

        Raises ValueError for any other word.
        """
        if unknown := keep - {"accounts", "tokens", "settings", "clock"}:
            raise ValueError(f"keep: unknown: {', '.join(sorted(unknown))}")
        with self.store.transaction():
            self.uploads.clear()
            self.posts.clear()
            self.comments.clear()
            if "accounts" not in keep:
                self.accounts.clear()
                self.clients.clear()
            if "tokens" not in keep:
                for collection in (self.codes, self.grants, self.tokens):
                    collection.clear()
            if "settings" not in keep:
                self.change_settings(asdict(SandboxSettings(speed=self._speed)))
            if "clock" not in keep:
                self.clock.offset, self.clock.frozen_at = 0.0, None
                self.save_clock()
            self._seed()
        self.files.clear()
        self.faults.clear()
        self.recorder.clear()
        self.rates.clear()

    def change_settings(self, changes: dict[str, object]) -> None:
        """Change settings and keep them. Raises ValueError (see SandboxSettings.update)."""
        with self.store.transaction():
            self.settings.update(changes)
            self._settings.put(self.settings)

    def save_clock(self) -> None:
        self._clock.put(_Clock(self.clock.offset, self.clock.frozen_at))

    def now(self) -> float:
        """Return the virtual time in seconds since the epoch."""
        return self.clock.now()

    def close(self) -> None:
        """Give the folder free for another process."""
        self.store.close()
        self._lock_file.close()


class Rates:
    """Sliding windows of calls, on the virtual clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def admits(self, bucket: str, *, limit: int, now: float, window_seconds: float = 60.0) -> bool:
        """Count a call if there is room for it in the window, and tell whether there was."""
        with self._lock:
            calls = self._calls[bucket]
            while calls and not now - window_seconds < calls[0] <= now:
                calls.popleft()
            if len(calls) >= limit:
                return False
            calls.append(now)
            return True

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()


def current() -> Sandbox:
    """Return the state of the app that handles this request."""
    return cast(Sandbox, current_app.extensions["sandbox"])


def _claim(state_dir: Path, *, patience_seconds: float = 5.0) -> IO[str]:
    """Lock the folder: much of the state is in memory, so two processes on one folder would disagree.

    Raises RuntimeError if another process still holds it after the patience.
    """
    handle = (state_dir / "lock").open("w")
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                handle.close()
                raise RuntimeError("another sandbox process uses this folder: run one process") from error
            time.sleep(0.05)
        else:
            return handle
