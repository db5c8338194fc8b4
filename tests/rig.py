"""The product as real processes, for proofs and benchmarks: a dispatcher, workers, a sandbox, real servers.

    with Rig(folder, database_url=..., redis_url=..., sandbox=sandbox) as rig:
        rig.start("dispatcher", "worker stage", "worker commit")
        target = rig.target(caption="hello", due_in=3)
        rig.wait_for([target], {"published"})

Posts are made through the models, not the API: what is proven here is what happens to them afterwards. A channel
of any platform is `rig.make_channel("sandbox_creator", platform=...)`; `rig.target(channel_id=...)` posts there,
with the options of the platform's test case.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psutil  # type: ignore[import-untyped]
import redis
from flask import Flask
from sqlalchemy import insert, select, update

from app import clock, config, create_app
from app.extensions import db
from app.media import measure
from app.models import Channel, Credential, Post, Target, User, Video, Workspace
from app.models.base import new_id
from app.platforms import registry
from app.platforms.base import Tokens
from app.services.credentials import seal_own, token_columns
from app.storage import get_storage, new_key
from tests.canaries import canary, look_through_redis
from tests.canary_marks import ENCRYPTION_KEY
from tests.database import dispose
from tests.platforms.sources import Case
from tests.sandbox_server import Sim

ROOT = Path(__file__).resolve().parent.parent
FACTOR = 8  # protocol times are divided by this, here and in the sandbox
PROTOCOL = {
    "STAGE_LEASE_SECONDS": 45 / FACTOR,
    "COMMIT_LEASE_SECONDS": 20 / FACTOR,
    "COMMIT_DEADLINE_SECONDS": 15 / FACTOR,
    "SETTLE_SECONDS": 5 / FACTOR,
    "PROTOCOL_PACE": FACTOR,
}
PLATFORM = "tiktok"
OPTIONS = {"privacy_level": "SELF_ONLY"}
ROUGH = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)


def case_of(platform: str) -> Case:
    """Return what the platform's own test says of it."""
    case: Case = importlib.import_module(f"tests.platforms.test_{platform}").CASE
    return case


class Sandbox(Protocol):
    """A sandbox as tests/sandbox_server gives it, in a thread or as a process."""

    @property
    def base_url(self) -> str: ...
    @property
    def sim(self) -> Sim: ...


@dataclass
class Rig:
    folder: Path
    database_url: str
    redis_url: str
    sandbox: Sandbox
    extra: Mapping[str, Any] = field(default_factory=dict)
    entry: tuple[str, ...] = ("-m", "flask")
    platforms: dict[uuid.UUID, str] = field(default_factory=dict)  # of the channels made here
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Rig:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = self._environment()
        settings = config.load(self.environment, platforms=registry.setting_specs())
        self.app: Flask = create_app(settings)
        with self.app.app_context():
            self.workspace_id = self._make_workspace()
        self.channel_id = self.make_channel("sandbox_creator")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.stop(name)
        dispose(self.app)

    def _environment(self) -> dict[str, str]:
        platforms = {
            key: value for values in self.sandbox.sim.environment().values() for key, value in values.items()
        }
        ours = {
            "DATA_DIR": str(self.folder),
            "SECRET_KEY": canary("secret-key"),
            "JWT_SECRET_KEY": canary("jwt-secret-key"),
            "ENCRYPTION_KEYS": f"k1:{ENCRYPTION_KEY}",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "MIN_FREE_BYTES": "0",
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
            **{name: str(value) for name, value in (PROTOCOL | dict(self.extra)).items()},
        }
        return platforms | ours

    # -- processes

    def start(self, *names: str) -> None:
        """Start `flask NAME` processes, e.g. "dispatcher", "worker stage"; more of a kind as "worker stage#2"."""
        for name in names:
            environment = os.environ | self.environment | {"CRASH_POINTS": "all", "FLASK_APP": "wsgi"}
            with (self.folder / f"{name.replace(' ', '-')}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, *self.entry, *name.partition("#")[0].split()],
                    cwd=ROOT,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process and whatever it forked; SIGKILL also waits for its end.

        Horses have groups of their own. A signal to end warmly is not for them: their worker waits for them.
        """
        process = self.processes[name]
        horses = self.forked_by(name) if number in ROUGH else []
        os.killpg(process.pid, number)
        for horse in horses:
            with contextlib.suppress(psutil.NoSuchProcess):
                horse.send_signal(number)
        if number == signal.SIGKILL:
            process.wait(10)
            del self.processes[name]

    def forked_by(self, name: str) -> list[psutil.Process]:
        """Return the processes that this one, and they in turn, forked."""
        try:
            return list(psutil.Process(self.processes[name].pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def stop(self, name: str) -> None:
        """End the process warmly, at last by force."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with_children = process.pid
            with contextlib.suppress(ProcessLookupError):
                os.killpg(with_children, signal.SIGKILL)
            process.wait(10)

    def crash(self, point: str) -> None:
        """Let the next process that comes by this point die there."""
        folder = self.folder / "crash"
        folder.mkdir(exist_ok=True)
        (folder / point).touch()

    def has_crashed(self, point: str) -> bool:
        return not (self.folder / "crash" / point).exists()

    def wait_for_death(self, name: str, *, seconds: float = 30) -> int:
        """Return the exit status of a process that is expected to die by itself."""
        status = self.processes[name].wait(seconds)
        del self.processes[name]
        return status

    def flush_redis(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            look_through_redis(client)
            client.flushall()

    # -- content

    def _make_workspace(self) -> uuid.UUID:
        user = User(email=f"{uuid.uuid4().hex}@example.com", password_hash="-")
        workspace = Workspace(name="rig")
        db.session.add_all([user, workspace])
        db.session.commit()
        return workspace.id

    def make_channel(self, username: str, *, platform: str = PLATFORM) -> uuid.UUID:
        """Connect an account of the sandbox, without its consent page."""
        with self.app.app_context():
            grant = self.sandbox.sim.token(username, platform=platform)
            key, own = new_id(), None if case_of(platform).refreshes else grant["access_token"]
            columns = self.grant_columns(key, grant, platform=platform)
            credential = Credential(
                id=key, workspace_id=self.workspace_id, platform=platform, environment="sandbox", **columns
            )
            db.session.add(credential)
            db.session.flush()
            channel = Channel(
                id=new_id(),
                workspace_id=self.workspace_id,
                credential_id=key,
                platform=platform,
                remote_id=grant["remote_id"],
                username=username,
            )
            channel.access_token_encrypted = seal_own(channel.id, own) if own else None
            db.session.add(channel)
            db.session.commit()
            self.platforms[channel.id] = platform
            return channel.id

    def grant_columns(self, key: uuid.UUID, grant: Mapping[str, Any], *, platform: str) -> dict[str, Any]:
        """Return a credential's columns for what the sandbox granted.

        Where grants are not refreshed, the account has a token of its own and the second is the person's.
        """
        case = case_of(platform)
        expires_at = clock.now() + timedelta(hours=24)
        tokens = Tokens(grant["access_token"], grant["refresh_token"], expires_at, None, case.scopes)
        if not case.refreshes:
            tokens = Tokens(grant["refresh_token"], None, None, None, case.scopes)
        platform_ = self.app.extensions["platforms"].get(platform)
        return token_columns(key, tokens, refresh_ahead=platform_.refresh_ahead)

    def video(self, content: bytes) -> uuid.UUID:
        """Store bytes as a ready video; what is in them does not matter to the machinery."""
        with self.app.app_context():
            key = new_id()
            stored = get_storage().put_stream(
                new_key("videos", key, "original.mp4"), io.BytesIO(content), max_bytes=len(content)
            )
            db.session.add(
                Video(
                    id=key,
                    workspace_id=self.workspace_id,
                    backend=get_storage().backend,
                    key=stored.key,
                    size_bytes=stored.size,
                    sha256=stored.sha256,
                    content_type="video/mp4",
                    state="ready",
                    facts={"duration_seconds": 8.0, "width": 720, "height": 1280},
                )
            )
            db.session.commit()
            return key

    def measured_video(self, clip: Path) -> uuid.UUID:
        """Store a real video, with the facts measured of it."""
        video, facts = self.video(clip.read_bytes()), measure(clip).to_dict()
        with self.app.app_context():
            db.session.execute(update(Video).where(Video.id == video).values(facts=facts))
            db.session.commit()
        return video

    def target(
        self,
        *,
        caption: str,
        due_in: float = 0.0,
        content: bytes | None = None,
        channel_id: uuid.UUID | None = None,
        video_id: uuid.UUID | None = None,
        **columns: Any,
    ) -> uuid.UUID:
        """Schedule one post on one channel, `due_in` seconds from now."""
        video = video_id or self.video(content or caption.encode())
        due_at = clock.now() + timedelta(seconds=due_in)
        with self.app.app_context():
            post, target = self.rows(
                caption=caption,
                due_at=due_at,
                video_id=video,
                channel_id=channel_id or self.channel_id,
                **columns,
            )
            db.session.execute(insert(Post), [post])
            db.session.execute(insert(Target), [target])
            db.session.commit()
        return uuid.UUID(str(target["id"]))

    def rows(
        self,
        *,
        caption: str,
        due_at: datetime,
        video_id: uuid.UUID,
        channel_id: uuid.UUID,
        content_hash: str | None = None,
        **columns: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a post and a target as rows to insert."""
        post_id, target_id = new_id(), new_id()
        platform = self.platforms.get(channel_id, PLATFORM)
        shared = {"workspace_id": self.workspace_id, "video_id": video_id}
        post = {
            "id": post_id,
            "title": caption,
            "caption": caption,
            "status": "scheduled",
            "scheduled_at": due_at,
            **shared,
        }
        target = {
            "id": target_id,
            "post_id": post_id,
            "channel_id": channel_id,
            "platform": platform,
            "content_hash": content_hash or hashlib.sha256(f"{caption}{target_id}".encode()).hexdigest(),
            "options": OPTIONS if platform == PLATFORM else dict(case_of(platform).options),
            "state": "scheduled",
            "due_at": due_at,
            "late_until": due_at + timedelta(hours=2),
            "next_at": due_at - timedelta(minutes=40),
            **shared,
            **columns,
        }
        return post, target

    # -- looking

    def states(self, targets: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
        with self.app.app_context():
            rows = db.session.execute(select(Target.id, Target.state).where(Target.id.in_(targets))).all()
            db.session.rollback()
            return {row.id: row.state for row in rows}

    def read(self, target_id: uuid.UUID) -> Target:
        """Return the target's row, detached."""
        with self.app.app_context():
            row = db.session.get_one(Target, target_id)
            db.session.expunge(row)
            return row

    def wait_for(
        self, targets: Collection[uuid.UUID], states: Collection[str], *, seconds: float = 60
    ) -> dict[uuid.UUID, str]:
        """Wait until every target is in one of `states`; return them. Raises AssertionError with the logs' ends."""
        found: dict[uuid.UUID, str] = {}

        def done() -> bool:
            nonlocal found
            found = self.states(targets)
            return all(state in states for state in found.values())

        self.wait_until(done, seconds=seconds, what=lambda: f"{found} did not all reach {set(states)}")
        return found

    def wait_until(
        self,
        is_true: Callable[[], bool],
        *,
        seconds: float = 30,
        what: Callable[[], str] = lambda: "waited in vain",
    ) -> None:
        deadline = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < deadline, f"{what()}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self, lines: int = 25) -> str:
        """Return the ends of all logs."""
        ends = (
            f"== {path.name}\n" + "\n".join(path.read_text().splitlines()[-lines:])
            for path in self.folder.glob("*.log")
        )
        return "\n".join(ends)
