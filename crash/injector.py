"""Arms faults, sees them strike, does what a struck world needs, and takes back what nobody came by."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from crash import processes
from crash.plan import CALL_OF, CALLS, Fault
from crash.world import LEASE, World

ARMED = 30  # faults that wait to strike at a time
PATIENCE = (
    15.0  # seconds, and PASSERS_BY of the platform's posts, until an armed fault nobody meets is taken back
)
PASSERS_BY = 12
SHORT_ROUND = 200  # faults; a round of fewer would spend half of its time on its last few,
FEW_PASSERS_BY = 4  # so there, once all are armed, these are enough
AT_MOST = 150.0  # seconds
TURNS = 5  # in which everybody is let go on at the end: one may not stand still yet when its turn comes
FROZEN = LEASE + 1.5
Say = Callable[[str], None]


@dataclass
class Armed:
    fault: Fault
    since: float
    passed: int  # posts of its platform that were at an end when it was armed
    call_id: str = ""
    gone_at: float = 0.0  # when its file was first seen to be gone without a note of who stopped


@dataclass
class Injector:
    """Feeds `waiting` faults to the world, a few at a time. `struck` and `missed` hold what became of them."""

    world: World
    say: Say
    waiting: deque[Fault]
    is_short: bool = False
    armed: list[Armed] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    frozen: dict[Path, float] = field(default_factory=dict)
    ended: Counter[str] = field(
        default_factory=Counter
    )  # posts at an end, by platform; the stream counts them
    _looked: float = 0.0

    @classmethod
    def of(cls, world: World, faults: Iterable[Fault], say: Say) -> Injector:
        waiting = deque(faults)
        return cls(world, say, waiting, is_short=len(waiting) < SHORT_ROUND)

    @property
    def is_done(self) -> bool:
        return not (self.waiting or self.armed or self.frozen)

    def tell(self, *, posts: int, under_way: int) -> None:
        """Say how far it is."""
        self.say(
            f"{len(self.struck)} faults have struck, {len(self.armed)} are armed, "
            f"{len(self.waiting)} wait; {posts} posts, {under_way} of them under way; "
            f"{len(processes.standing_still(self.world.rig.folder))} processes stand still"
        )

    def tick(self) -> None:
        """Look what has struck, act on it, arm the next."""
        if time.monotonic() - self._looked < 0.2:
            return
        self._look()
        self._looked = time.monotonic()
        self._thaw()
        self._arm_next()

    def disarm(self) -> None:
        """Take back everything; let everybody go on."""
        for armed in list(self.armed):
            self._take_back(armed)
        for _ in range(TURNS):
            for note in self.world.stopped():
                self.world.go_on(note)
        self.world.sim.clear_faults()

    # -- arming

    def _arm_next(self) -> None:
        for _ in range(len(self.waiting)):
            if len(self.armed) >= ARMED:
                return
            fault = self.waiting.popleft()
            if self._is_blocked(fault):
                self.waiting.append(fault)
            else:
                self._arm(fault)

    def _is_blocked(self, fault: Fault) -> bool:
        """One at a place, and of those that end everything one at a time."""
        if fault.is_heavy and any(armed.fault.is_heavy for armed in self.armed):
            return True
        return any(
            (armed.fault.place, armed.fault.is_call) == (fault.place, fault.is_call) for armed in self.armed
        )

    def _arm(self, fault: Fault) -> None:
        armed = Armed(fault, time.monotonic(), self.ended[fault.platform])
        if fault.kind == "older snapshot restored":
            self.world.take_snapshot()
        if fault.is_call:
            action, details = CALLS[fault.kind]
            armed.call_id = self.world.sim.fault(self._operation(fault), action, **details)["id"]
        else:
            self._file(fault).write_text(fault.action)
        self.armed.append(armed)
        self._provoke(fault)

    def _provoke(self, fault: Fault) -> None:
        """See to it that somebody comes by a point that lies off the usual way."""
        if fault.point.startswith("locate."):
            self.world.sim.fault(self.world.cases[fault.platform].commit, "drop_after")
        if fault.point.startswith("refresh."):
            self.world.expire_tokens(fault.platform)

    def _operation(self, fault: Fault) -> str:
        return str(getattr(self.world.cases[fault.platform], CALL_OF[fault.point]))

    def _file(self, fault: Fault) -> Path:
        return self.world.rig.folder / "crash" / fault.place

    # -- striking

    def _look(self) -> None:
        fired = {fault["id"] for fault in self.world.sim.call("GET", "faults")["faults"] if fault["fired"]}
        stops = {note.read_text(): note for note in self.world.stopped() if note not in self.frozen}
        for armed in list(self.armed):
            fault = armed.fault
            struck = armed.call_id in fired if fault.is_call else not self._file(fault).exists()
            if struck:
                self._strike(armed, stops.get(fault.place))
            elif self._waits_in_vain(armed):
                self._take_back(armed)

    def _waits_in_vain(self, armed: Armed) -> bool:
        waited = time.monotonic() - armed.since
        passed = self.ended[armed.fault.platform] - armed.passed
        enough = FEW_PASSERS_BY if self.is_short and not self.waiting else PASSERS_BY
        return waited > AT_MOST or (waited > PATIENCE and passed >= enough)

    def _strike(self, armed: Armed, note: Path | None) -> None:
        fault = armed.fault
        if fault.action == "stop" and not fault.is_call:
            if note is None:
                self._await_note(armed)
                return
            self._while_stopped(fault, note)
        if fault.point.startswith("refresh."):
            self.world.may_lose_grants = True
        if armed.call_id:
            self.world.sim.call("DELETE", f"faults/{armed.call_id}")
        if armed in self.armed:
            self.armed.remove(armed)
        self.struck.append(fault)

    def _await_note(self, armed: Armed) -> None:
        """Whoever took the file has not stopped yet, or was ended by another fault before we looked."""
        armed.gone_at = armed.gone_at or time.monotonic()
        if time.monotonic() - armed.gone_at > 5.0:
            self.armed.remove(armed)
            self.missed.append(armed.fault)

    def _while_stopped(self, fault: Fault, note: Path) -> None:
        """A process stands still at the point: change the world around it, or leave it standing."""
        world = self.world
        if fault.kind.startswith("SIGSTOP"):
            self.frozen[note] = time.monotonic() + FROZEN
            return
        if fault.kind == "log cut back to its last fsync":
            world.cut_power()
            self.frozen.clear()
        elif fault.kind == "older snapshot restored":
            world.restore()
            self.frozen.clear()
        else:
            if fault.kind == "token expiry":
                world.expire_tokens(fault.platform)
            elif fault.kind == "database restart":
                world.restart_database()
            else:
                world.rig.flush_redis()
            world.go_on(note)

    def _thaw(self) -> None:
        """Let go on who stood long enough, and whoever stopped when we had just taken the fault back."""
        places = {armed.fault.place for armed in self.armed}
        for note in self.world.stopped():
            if note not in self.frozen and note.read_text() not in places:
                self.frozen[note] = time.monotonic() + FROZEN
        for note, at in list(self.frozen.items()):
            if time.monotonic() >= at:
                self.world.go_on(note)
                del self.frozen[note]

    def _take_back(self, armed: Armed) -> None:
        if armed.call_id:
            self.world.sim.call("DELETE", f"faults/{armed.call_id}")
        else:
            self._file(armed.fault).unlink(missing_ok=True)
        self.armed.remove(armed)
        self.missed.append(armed.fault)
