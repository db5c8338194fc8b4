"""What dispatcher and workers do, done here and now, for tests that look at each step of a rig's targets."""

from __future__ import annotations

import uuid

from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Target
from app.queue import STAGE_TARGET
from app.services import dispatch, staging, taking
from app.services.engine import Engine
from tests.rig import Rig


def work(rig: Rig) -> None:
    """Do what is due now as dispatcher and workers would."""
    for task, arguments in dispatch.claim_targets(clock.now()):
        if task is STAGE_TARGET:
            staging.stage(uuid.UUID(arguments[0]), arguments[1])
        else:
            engine = Engine(rig.app, threads=2)
            engine.submit(taking.take([(uuid.UUID(id_), fence) for id_, fence in arguments[0]]))
            engine.drain()


def work_on(rig: Rig, target_id: uuid.UUID) -> None:
    """Do what the target needs next, then let time pass at the platform."""
    bring_forward(target_id)
    work(rig)
    rig.sandbox.sim.advance(10)


def bring_forward(target_id: uuid.UUID) -> None:
    db.session.execute(update(Target).where(Target.id == target_id).values(next_at=clock.now()))
    db.session.commit()
