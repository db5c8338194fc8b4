"""How far this process's clock is from the database's: due times are decided by ours, so it must be right."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from app import clock
from app.extensions import db
from app.logging_config import get_logger

logger = get_logger(__name__)
WARN_SECONDS = 0.05
STOP_SECONDS = 1.0


def measure() -> float:
    """Return our clock minus the database's, in seconds; 0 on SQLite, which has no clock of its own."""
    if db.engine.dialect.name == "sqlite":
        return 0.0
    before = clock.now()
    theirs: datetime = db.session.execute(text("SELECT clock_timestamp()")).scalar_one()
    after = clock.now()
    db.session.rollback()
    return ((before - theirs) + (after - theirs)).total_seconds() / 2


def is_sane() -> bool:
    """Measure, and say whether due work may be claimed by this process's clock."""
    offset = measure()
    if abs(offset) >= STOP_SECONDS:
        logger.critical("this clock is %.3f s off the database's: nothing is claimed. Mend it (NTP).", offset)
        return False
    if abs(offset) >= WARN_SECONDS:
        logger.warning("this clock is %.3f s off the database's", offset)
    return True
