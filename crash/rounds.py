"""One round: a fresh installation, a stream of posts, a list of faults that strike it, and the verdict."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from app import clock
from app.domain.target_state import OPEN
from app.extensions import db
from app.models import Post, Target
from crash import oracle, report
from crash.injector import Injector
from crash.oracle import Sent, Verdict
from crash.plan import Database, Fault
from crash.world import Servers, World, world

GRACE = 100.0  # seconds in which nothing came to an end any more: what is open then is stuck
TELL_EVERY = 30.0  # seconds
STORIES = 5  # findings of a round that are told in full


@dataclass(frozen=True)
class Round:
    """What one round plays, on a fresh installation with so many `posts` under way at a time."""

    database: Database
    platforms: tuple[str, ...]
    faults: tuple[Fault, ...]
    seed: int
    posts: int


@dataclass
class Result:
    wanted: Round
    struck: list[Fault]
    missed: list[Fault]
    verdict: Verdict
    reconnected: int


@dataclass
class Stream:
    """Keeps a number of posts under way, spread over all channels, until told to stop."""

    world: World
    dice: random.Random
    under_way: int
    sent: list[Sent] = field(default_factory=list)
    open: dict[uuid.UUID, Sent] = field(default_factory=dict)
    videos: list[uuid.UUID] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self.videos = [self.world.rig.video(b"v" * 3_000), self.world.rig.video(b"w" * 12_000_000)]

    def tick(self, *, refill: bool) -> None:
        if time.monotonic() - self._looked < 0.3:
            return
        self._looked = time.monotonic()
        with contextlib.suppress(OperationalError):  # the database is being restarted
            self.drop_settled()
            if refill and len(self.open) < self.under_way:
                self._send(self.under_way - len(self.open))

    def drop_settled(self) -> None:
        states = self.world.rig.states(list(self.open))
        self.ended.update(self.open[key].platform for key, state in states.items() if state not in OPEN)
        self.open = {key: self.open[key] for key, state in states.items() if state in OPEN}

    def _send(self, count: int) -> None:
        pairs = [self._make() for _ in range(count)]
        with self.world.rig.app.app_context():
            db.session.execute(insert(Post), [post for _, post, _ in pairs])
            db.session.execute(insert(Target), [target for _, _, target in pairs])
            db.session.commit()
        for sent, _, _ in pairs:
            self.sent.append(sent)
            self.open[sent.id] = sent

    def _make(self) -> tuple[Sent, dict[str, object], dict[str, object]]:
        number = len(self.sent) + self.dice.randrange(1_000_000_000)
        platform = self.dice.choice(list(self.world.channels))
        caption = f"post {number} on {platform}"
        has_comment = bool(self.world.cases[platform].comment)
        comment = f"comment {number} on {platform}" if has_comment else ""
        big = self.dice.random() < 0.03
        post, target = self.world.rig.rows(
            caption=caption,
            due_at=clock.now() + timedelta(seconds=self.dice.uniform(0.5, 3.0)),
            video_id=self.videos[big],
            channel_id=self.dice.choice(self.world.channels[platform]),
        )
        if comment:
            target["options"] = {**target["options"], "first_comment": comment}
        return Sent(target["id"], platform, caption, comment), post, target


def run(parts: Servers, wanted: Round) -> Result:
    """Strike a fresh installation with the round's faults and judge what came of every post."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {wanted.database} {wanted.seed}: {text}", flush=True)

    with world(parts, wanted.database, list(wanted.platforms)) as made:
        stream = Stream(made, random.Random(wanted.seed), wanted.posts)
        injector = Injector.of(made, wanted.faults, say)
        injector.ended = stream.ended
        reconnected = _play(made, stream, injector)
        injector.disarm()
        reconnected += _settle(made, stream)
        verdict = oracle.judge(made, stream.sent)
        result = Result(wanted, injector.struck, injector.missed, verdict, reconnected)
        say(report.summary(result, seconds=time.monotonic() - began))
        for finding in verdict.findings[:STORIES]:
            say(report.story(made, finding))
        return result


def _play(made: World, stream: Stream, injector: Injector) -> int:
    reconnected, told = 0, time.monotonic()
    while not injector.is_done:
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            injector.tell(posts=len(stream.sent), under_way=len(stream.open))
        stream.tick(refill=True)
        injector.tick()
        reconnected += _mend(made)
        time.sleep(0.05)
    return reconnected


def _settle(made: World, stream: Stream) -> int:
    """Wait until everything is settled, as long as something still comes to an end; then for late effects."""
    reconnected, left, deadline = 0, len(stream.sent) + 1, time.monotonic() + GRACE
    while time.monotonic() < deadline:
        reconnected += _mend(made)
        with contextlib.suppress(OperationalError):
            now_left = oracle.count_unsettled(made, stream.sent)
            if now_left == 0:
                break
            if now_left < left:
                left, deadline = now_left, time.monotonic() + GRACE
        time.sleep(0.5)
    time.sleep(1.0)
    return reconnected


_mended: dict[int, float] = {}


def _mend(made: World) -> int:
    """Do what an owner does: start what ended, connect again what a fault has cut off. Once a second."""
    if time.monotonic() - _mended.get(id(made), 0.0) < 1.0:
        return 0
    _mended[id(made)] = time.monotonic()
    made.keep_alive()
    if not made.may_lose_grants:
        return 0
    with contextlib.suppress(OperationalError):
        return made.reconnect()
    return 0
