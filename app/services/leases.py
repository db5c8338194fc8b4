"""Keeping the lease of a claimed row while long work runs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from flask import Flask, current_app
from sqlalchemy import update

from app import clock
from app.extensions import db, settings
from app.logging_config import get_logger
from app.models.base import WorkMixin
from app.queue import wake_dispatcher

logger = get_logger(__name__)

FREE: dict[str, Any] = {"lease_until": None, "attempts": 0}


def write(model: type[WorkMixin], id_: uuid.UUID, fence: int, *where: Any, **values: Any) -> bool:
    """Write columns of a claimed row in the caller's transaction; False when somebody else owns it now."""
    key = model.id  # type: ignore[attr-defined]  # every noun has one
    found = db.session.execute(
        update(model)
        .where(key == id_, model.fence == fence, *where)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(found.rowcount)  # type: ignore[attr-defined]


def begin(model: type[WorkMixin], id_: uuid.UUID, fence: int) -> bool:
    """Count a start before the work begins, for the work may kill us; False when the row is not ours. Commits."""
    ours = write(model, id_, fence, attempts=model.attempts + 1)
    db.session.commit()
    return ours


def hand_back(model: type[WorkMixin], id_: uuid.UUID, fence: int, *where: Any, **values: Any) -> None:
    """Let another worker begin at once what this one was asked to stop: this start does not count. Commits."""
    db.session.rollback()
    free = {"attempts": model.attempts - 1, "next_at": clock.now(), "lease_until": None}
    write(model, id_, fence, *where, **free, **values)
    db.session.commit()
    wake_dispatcher()


@contextmanager
def renewed(model: type[WorkMixin], id_: uuid.UUID, fence: int) -> Iterator[None]:
    """Renew the lease at a third of its length for as long as the block lasts."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    length = timedelta(seconds=settings().stage_lease_seconds)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(length.total_seconds() / 3):
            with app.app_context():
                until = clock.now() + length
                try:
                    write(model, id_, fence, lease_until=until, next_at=until)
                    db.session.commit()
                except Exception:  # a missed renewal costs the lease, never the work
                    logger.warning("could not renew a lease of %s", model.__name__, exc_info=True)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
