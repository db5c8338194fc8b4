"""A platform on which something follows each post, and which says what a test tells it to say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app import clock
from app.extensions import db
from app.models import Step, Target
from app.platforms.base import Account, PlannedStep, PublishRequest, StepDone, StepKind, StepNotDone
from app.platforms.tiktok import TikTok
from app.services import dispatch, stepping
from app.services.dispatch import WORK
from app.services.platforms import registry

COMMENT = StepKind("first_comment", "First comment", repeatable=False)
COVER = StepKind("thumbnail", "Thumbnail", repeatable=True)


class Afterwards(TikTok):
    """Answers each kind of call with what is next in `says`, raising errors; `asked` notes the calls."""

    step_kinds = (COMMENT, COVER)
    can_remove = True
    max_stats = 2

    def __init__(self, real: TikTok) -> None:
        super().__init__(real.config, real.http)
        self.plans: list[PlannedStep] = [PlannedStep("first_comment", {"text": "first"})]
        self.says: dict[str, list[Any]] = {}
        self.asked: list[Any] = []

    def plan_steps(self, *_: Any) -> Sequence[PlannedStep]:
        return self.plans

    def perform_step(self, request: PublishRequest, step: PlannedStep) -> Any:
        return self._answer("perform", request.remote_id, StepDone({"id": step.payload.get("text")}))

    def locate_step(self, request: PublishRequest, _step: PlannedStep) -> Any:
        return self._answer("locate", request.remote_id, StepNotDone())

    def stats(self, _account: Account, remote_ids: Sequence[str]) -> Any:
        return self._answer("stats", tuple(remote_ids), {})

    def remove(self, _account: Account, remote_id: str) -> Any:
        return self._answer("remove", remote_id, None)

    def _answer(self, what: str, about: Any, usual: Any) -> Any:
        self.asked.append((what, about))
        answers = self.says.get(what)
        answer = answers.pop(0) if answers else usual
        if isinstance(answer, BaseException):
            raise answer
        return answer


def install(monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    """Make the app's platform one of these, for the length of a test."""
    real = registry().get("tiktok")
    assert isinstance(real, TikTok)
    made = Afterwards(real)
    monkeypatch.setitem(registry()._platforms, "tiktok", made)
    return made


def work_steps() -> int:
    """Do the steps that are due now, as dispatcher and worker would; return how many."""
    (work,) = (work for work in WORK if work.model is Step)
    jobs = dispatch.claim(work, clock.now())
    for _, (step_id, fence) in jobs:
        stepping.run(uuid.UUID(step_id), fence)
    return len(jobs)


def bring_forward(**columns: Any) -> None:
    """Make every step due that is to be looked at again, and write `columns` to it."""
    values = {"next_at": clock.now() - timedelta(seconds=1), "lease_until": None} | columns
    db.session.execute(update(Step).where(Step.next_at.is_not(None)).values(values))
    db.session.commit()


def step_of(target_id: uuid.UUID, kind: str = "first_comment") -> Step:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Step).where(Step.target_id == target_id, Step.kind == kind)).one()


def publish(target_id: uuid.UUID, **columns: Any) -> None:
    """Write that the target is published, as `columns` say."""
    usual = {"state": "published", "remote_id": "r1", "published_at": clock.now(), "lease_until": None}
    db.session.execute(update(Target).where(Target.id == target_id).values(usual | columns))
    db.session.commit()
