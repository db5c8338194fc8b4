"""Which faults there are, where each makes sense, and which of them a run injects.

A fault strikes at a crash point, on a posting to one platform. Process faults act at the point itself; call
faults strike the platform's answer to the call that the point belongs to; world faults stop the process at the
point, change the world around it, and let it go on (or not: power cuts and restores end every process).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.crash_points import POINTS
from tests.platforms.sources import Case

Database = Literal["sqlite", "postgresql"]
PROCESS = {
    "SIGKILL": "kill",
    "SIGTERM": "term",
    "SIGSTOP beyond the lease": "stop",
    "exception": "raise",
}
CALLS: dict[str, tuple[str, dict[str, object]]] = {  # the sandbox's action; seconds go beyond every deadline
    "timeout before": ("hang", {"seconds": 3.0}),
    "timeout after the effect": ("delay", {"seconds": 3.0, "when": "after"}),
    "5xx before": ("status", {"status": 503}),
    "5xx after": ("status", {"status": 503, "when": "after"}),
    "429": ("status", {"status": 429}),
    "reset": ("drop_before", {}),
    "reset after the effect": ("drop_after", {}),
    "late effect": ("delay", {"seconds": 2.5, "when": "before"}),
}
WORLD = (
    "token expiry",
    "Redis FLUSHALL",
    "database restart",
    "log cut back to its last fsync",
    "older snapshot restored",
)
KINDS = (*PROCESS, *CALLS, *WORLD)
HEAVY = ("database restart", "log cut back to its last fsync", "older snapshot restored")
ONLY_ON: dict[str, Database] = {
    "database restart": "postgresql",
    "log cut back to its last fsync": "sqlite",
}
CALL_OF = {  # the first point of each call -> where a platform's test case names the sandbox's operation
    "stage.before_call": "begin",
    "commit.before_call": "commit",
    "locate.after_call": "ask",
    "refresh.after_call": "refresh",
    "step.before_call": "comment",
}


@dataclass(frozen=True)
class Fault:
    """One fault to inject."""

    kind: str
    point: str
    platform: str

    @property
    def action(self) -> str:
        """What the crash point does. Faults of the world stop the process there first."""
        return PROCESS.get(self.kind, "stop")

    @property
    def place(self) -> str:
        return f"{self.point}@{self.platform}"

    @property
    def is_call(self) -> bool:
        return self.kind in CALLS

    @property
    def is_heavy(self) -> bool:
        return self.kind in HEAVY


def skip_reason(fault: Fault, case: Case, database: Database) -> str | None:
    """Return why a combination makes no sense, or None when it does."""
    if ONLY_ON.get(fault.kind, database) != database:
        return f"{fault.kind}: only on {ONLY_ON[fault.kind]}"
    if fault.point.startswith("rendition."):
        return "the posts need no rendition"
    if fault.point.startswith("step.") and not case.comment:
        return "the platform has no comments to write"
    if (fault.point.startswith("refresh.") or fault.kind == "token expiry") and not case.refreshes:
        return "the platform's grants are not refreshed"
    if fault.is_call and fault.point not in CALL_OF:
        return (
            "an answer goes wrong once per call, and this point's call has another point (or there is none)"
        )
    return None


def enumerate_all(cases: Mapping[str, Case], database: Database) -> tuple[list[Fault], Counter[str]]:
    """Return every fault that makes sense on these platforms, and how many were left out for which reason."""
    kept: list[Fault] = []
    skipped: Counter[str] = Counter()
    for fault in (Fault(kind, point, name) for kind in KINDS for point in POINTS for name in cases):
        reason = skip_reason(fault, cases[fault.platform], database)
        if reason is None:
            kept.append(fault)
        else:
            skipped[reason] += 1
    return kept, skipped


def sample(faults: Sequence[Fault], count: int, dice: random.Random) -> list[Fault]:
    """Return `count` faults drawn so that each kind comes up alike, but for the heavy ones, which cost seconds."""
    by_kind = {kind: [fault for fault in faults if fault.kind == kind] for kind in KINDS}
    for group in by_kind.values():
        dice.shuffle(group)
    heavy = _turns([by_kind[kind] for kind in HEAVY])
    light = _turns([by_kind[kind] for kind in KINDS if kind not in HEAVY])
    few = [fault for fault, _ in zip(heavy, range(max(2, count // 40)), strict=False)]
    chosen = few + [fault for fault, _ in zip(light, range(count - len(few)), strict=False)]
    dice.shuffle(chosen)
    return chosen


def _turns(groups: Sequence[list[Fault]]) -> Iterator[Fault]:
    """Yield one of each group in turn until all are used up."""
    left = [list(group) for group in groups if group]
    while left:
        for group in left:
            yield group.pop()
        left = [group for group in left if group]


def draw(faults: Sequence[Fault], count: int, dice: random.Random) -> list[Fault]:
    """Return `count` random faults out of all; of the heavy ones one in 50."""
    heavy = [fault for fault in faults if fault.is_heavy]
    light = [fault for fault in faults if not fault.is_heavy]
    return [dice.choice(heavy if heavy and dice.random() < 0.02 else light) for _ in range(count)]
