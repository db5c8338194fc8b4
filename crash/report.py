"""What a run tells: a table by platform and kind, the story of whatever went wrong, and the last line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.extensions import db
from app.models import Attempt, Event, Step, Target
from app.models.step import FIGURES
from crash.oracle import WRONG, Finding
from crash.plan import KINDS
from crash.world import World

if TYPE_CHECKING:
    from crash.rounds import Result

LOG_LINES = 12
ENOUGH = 0.75  # of the wanted faults must have struck


def story(world: World, finding: Finding) -> str:
    """Return all there is to understand one finding: ledger, events, log lines."""
    target = finding.target
    lines = [f"{finding.fault.upper()} {target.platform} {target.id} ({target.caption}): {finding.why}"]
    with world.rig.app.app_context():
        row = db.session.get(Target, target.id)
        if row is not None:
            lines.append(
                f"  row: {row.state} fence {row.fence} next {row.next_at} committed {row.committed_at}"
            )
        query = select(Attempt).where(Attempt.target_id == target.id).order_by(Attempt.started_at)
        lines += [f"  ledger: {_attempt(attempt)}" for attempt in db.session.scalars(query)]
        for step in db.session.scalars(select(Step).where(Step.target_id == target.id, Step.kind != FIGURES)):
            lines.append(
                f"  step: {step.kind} {step.state} fence {step.fence} starts {step.attempts} next {step.next_at} "
                f"lease {step.lease_until} {step.error or ''}"
            )
        query_events = select(Event).where(Event.target_id == target.id).order_by(Event.created_at)
        lines += [f"  event: {event.type} {event.created_at}" for event in db.session.scalars(query_events)]
        db.session.rollback()
    return "\n".join(lines + [f"  log: {line}" for line in _log(world, str(target.id))])


def _attempt(row: Attempt) -> str:
    error = json.dumps(row.error)[:160] if row.error else ""
    return f"{row.started_at:%H:%M:%S.%f} {row.operation} fence {row.fence} -> {row.outcome} {error}"


def _log(world: World, wanted: str) -> list[str]:
    found = [
        line[:400]
        for path in world.rig.folder.glob("*.log")
        for line in path.read_text(errors="replace").splitlines()
        if wanted in line
    ]
    return found[-LOG_LINES:]


def summary(result: Result, *, seconds: float) -> str:
    """Return what one round came to, in a line."""
    posts, findings = result.verdict.judged.total(), len(result.verdict.findings)
    return f"done: {len(result.struck)} faults, {posts} posts, {findings} findings, {seconds:.0f} s"


def table(results: Sequence[Result]) -> str:
    """Return faults that struck by kind and platform, then targets and findings by platform."""
    platforms = sorted({name for result in results for name in result.verdict.judged})
    struck = Counter((fault.kind, fault.platform) for result in results for fault in result.struck)
    width = max(len(kind) for kind in KINDS) + 2
    lines = ["".join([f"{'fault':{width}}", *(f"{name:>12}" for name in platforms), f"{'all':>8}"])]
    for kind in KINDS:
        counts = [struck[kind, name] for name in platforms]
        lines.append(_line(kind, counts, width))
    lines.append(_line("faults", [sum(struck[kind, name] for kind in KINDS) for name in platforms], width))
    judged: Counter[str] = Counter()
    for result in results:
        judged += result.verdict.judged
    lines.append(_line("posts", [judged[name] for name in platforms], width))
    for wrong in WRONG:
        found = Counter(finding.target.platform for finding in _findings(results) if finding.fault == wrong)
        lines.append(_line(wrong, [found[name] for name in platforms], width))
    return "\n".join(lines)


def _line(name: str, counts: Sequence[int], width: int) -> str:
    return "".join([f"{name:{width}}", *(f"{count:>12,}" for count in counts), f"{sum(counts):>8,}"])


def _findings(results: Iterable[Result]) -> list[Finding]:
    return [finding for result in results for finding in result.verdict.findings]


def notes(results: Sequence[Result], skipped: Counter[str]) -> str:
    """Return what was left out, and what is neither right nor wrong."""
    missed = Counter(fault.point for result in results for fault in result.missed)
    lines = [f"left out of the enumeration: {count} x {reason}" for reason, count in skipped.most_common()]
    lines += [
        f"armed, but nobody came by in time: {count} x {point}" for point, count in missed.most_common()
    ]
    forgotten = sum(result.verdict.forgotten for result in results)
    people = sum(result.verdict.left_to_people for result in results)
    lines.append(f"forgotten with a restored snapshot, and so not judged but for duplicates: {forgotten}")
    lines.append(f"left to a person after a restore, because the snapshot knows no handle: {people}")
    lines.append(f"channels connected again by their owner: {sum(result.reconnected for result in results)}")
    return "\n".join(lines)


def last_line(results: Sequence[Result]) -> str:
    """Return the one line that says it all."""
    counts = Counter(finding.fault for finding in _findings(results))
    figures = " ".join(f"{wrong}={counts[wrong]}" for wrong in WRONG)
    return f"faults={sum(len(result.struck) for result in results)} {figures}"


def is_clean(results: Sequence[Result]) -> bool:
    """Is nothing wrong, and were enough of the faults met to say so?"""
    struck = sum(len(result.struck) for result in results)
    wanted = sum(len(result.wanted.faults) for result in results)
    return not _findings(results) and struck >= ENOUGH * wanted
