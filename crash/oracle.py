"""The judge: what the sandbox counted, beside what the product says of each target and what follows it."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import select

from app.domain.target_state import OPEN
from app.extensions import db
from app.models import Step, Target
from app.models.step import FIGURES
from crash.world import World

Fault = Literal["duplicates", "lost", "stuck", "unknown"]
WRONG: tuple[Fault, ...] = ("duplicates", "lost", "stuck", "unknown")
FINAL_STEPS = ("done", "failed", "unknown", "cancelled")


@dataclass(frozen=True)
class Sent:
    """A target that was scheduled: its caption is its name at the sandbox."""

    id: uuid.UUID
    platform: str
    caption: str
    comment: str = ""
    has_twin: bool = False  # the same content goes to the same channel: one of them must be refused


@dataclass(frozen=True)
class Finding:
    """One thing that must not be."""

    fault: Fault
    target: Sent
    why: str


@dataclass
class Verdict:
    findings: list[Finding] = field(default_factory=list)
    judged: Counter[str] = field(default_factory=Counter)  # targets by platform
    forgotten: int = 0  # targets a restored snapshot does not know
    left_to_people: int = 0  # what nobody can tell after a restore, and says so

    def count(self, fault: Fault) -> int:
        return sum(finding.fault == fault for finding in self.findings)


def count_unsettled(world: World, targets: Collection[Sent]) -> int:
    """Return how many targets, and steps after them, are not at an end."""
    rows, steps = _rows(world, targets)
    waiting = sum(row.state in OPEN for row in rows.values())
    return waiting + sum(step.state not in FINAL_STEPS for of in steps.values() for step in of)


def judge(world: World, targets: Collection[Sent]) -> Verdict:
    """Compare the sandbox's count with what the product says."""
    verdict = Verdict(judged=Counter(target.platform for target in targets))
    posts, comments = Counter(_captions(world)), Counter(item["text"] for item in world.sim.comments())
    rows, steps = _rows(world, targets)
    for target in targets:
        count, row = posts[target.caption], rows.get(target.id)
        if count > 1:
            verdict.findings.append(Finding("duplicates", target, f"{count} posts"))
        if row is None:
            verdict.forgotten += world.restored_at is not None
            if world.restored_at is None:
                verdict.findings.append(Finding("lost", target, "its row is gone"))
            continue
        _judge_target(world, verdict, target, row, count)
        _judge_comment(world, verdict, target, row, steps[target.id], comments[target.comment])
    return verdict


def _judge_target(world: World, verdict: Verdict, target: Sent, row: Any, count: int) -> None:
    if row.state == "unknown" and _may_be_unknown(world, row):
        verdict.left_to_people += 1
    elif row.state == "unknown":
        verdict.findings.append(Finding("unknown", target, f"{count} posts, {row.error}"))
    elif row.state in OPEN:
        verdict.findings.append(Finding("stuck", target, f"{row.state}, hold {row.hold}, {count} posts"))
    elif row.state != "published":
        if not (target.has_twin and (row.error or {}).get("code") == "REPOST_TOO_SOON"):
            verdict.findings.append(Finding("lost", target, f"{row.state}, {count} posts, {row.error}"))
    elif count == 0:
        verdict.findings.append(Finding("lost", target, "called published, but there is no post"))


def _judge_comment(
    world: World, verdict: Verdict, target: Sent, row: Any, steps: list[Any], count: int
) -> None:
    if target.comment and count > 1:
        verdict.findings.append(Finding("duplicates", target, f"{count} comments"))
    for step in steps:
        if step.state == "unknown" and _may_be_unknown(world, row):
            verdict.left_to_people += 1
        elif step.state == "unknown":
            verdict.findings.append(Finding("unknown", target, f"{step.kind}: {step.error}"))
        elif step.state not in FINAL_STEPS:
            verdict.findings.append(Finding("stuck", target, f"{step.kind} is {step.state}"))
        elif step.state != "done":
            verdict.findings.append(Finding("lost", target, f"{step.kind} {step.state}: {step.error}"))
        elif target.comment and step.kind == "first_comment" and count == 0:
            verdict.findings.append(Finding("lost", target, "the comment is called done, but is not there"))


def _may_be_unknown(world: World, row: Any) -> bool:
    """After a restore nobody can tell of what was due before and has no handle in the snapshot."""
    return world.restored_at is not None and row.due_at <= world.restored_at


def _captions(world: World) -> Iterator[str]:
    for post in world.sim.posts():
        yield post["caption"]


def _rows(
    world: World, targets: Collection[Sent]
) -> tuple[Mapping[uuid.UUID, Any], Mapping[uuid.UUID, list[Any]]]:
    ids = [target.id for target in targets]
    rows: dict[uuid.UUID, Any] = {}
    steps: defaultdict[uuid.UUID, list[Any]] = defaultdict(list)
    columns = (Target.id, Target.state, Target.hold, Target.error, Target.due_at)
    with world.rig.app.app_context():
        for start in range(0, len(ids), 400):
            some = ids[start : start + 400]
            rows |= {row.id: row for row in db.session.execute(select(*columns).where(Target.id.in_(some)))}
            found = select(Step.target_id, Step.kind, Step.state, Step.error)
            for step in db.session.execute(found.where(Step.target_id.in_(some), Step.kind != FIGURES)):
                steps[step.target_id].append(step)
        db.session.rollback()
    return rows, steps
