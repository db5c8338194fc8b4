"""A commit on its way to its instant, and what a thread brings back of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.monitoring import capture_error
from app.platforms.base import LeaseLost, PreparedCommit
from app.services import calls
from app.services.outcomes import Outcome
from app.services.publishing import Loaded

logger = get_logger(__name__)


@dataclass(order=True)
class Slot:
    """A commit on its way to its instant; ordered by it."""

    due: float
    number: int
    item: Loaded = field(compare=False)
    prepared: PreparedCommit | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Done:
    """What a pool thread brings back: a prepared commit for a slot, or the outcome of a call."""

    item: Loaded
    outcome: Outcome = None
    slot: Slot | None = None
    lost: bool = False


def outcome_of(item: Loaded, ask: Callable[[Loaded], Outcome], slot: Slot | None) -> Done:
    try:
        return Done(item, ask(item), slot)
    except LeaseLost:
        return Done(item, None, slot, lost=True)
    except PlatformAPIError as error:
        return Done(item, error, slot)
    except Exception as error:
        logger.error("a call for target %s broke", item.ref.id, exc_info=True)
        capture_error(error)
        return Done(item, calls.as_doubt(item, error, sending=slot is None), slot)


def arm(slot: Slot, _item: Loaded) -> Outcome:
    slot.prepared = slot.item.platform.prepare_commit(slot.item.request, slot.item.handle or {})
    return None
