"""Letting a restored or cloned database publish again, once it is known what it forgot.

Between the snapshot and the restore this installation may have published what the snapshot still calls
waiting. So before the mark changes, the platform is asked about every target that has a handle, and what
cannot be told goes to a person as `unknown`: a post that may exist is never sent again.

A live handle that the platform calls unused is trusted, and goes on. A dead one proves nothing about a target
whose time has passed, for a later handle, forgotten with the rest, may have published it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import or_, select

from app import clock
from app.domain.target_state import IN_FLIGHT, WAITING
from app.exceptions import AppException, PlatformAPIError
from app.extensions import db
from app.logging_config import get_logger, log_context
from app.models import Step, Target
from app.platforms.base import HandleDead, Rejected, Unknown
from app.queue import wake_dispatcher
from app.services import credentials, instance, ledger, publishing, settling
from app.services.outcomes import Outcome
from app.services.publishing import Loaded
from app.services.taking import TOKEN_MARGIN

logger = get_logger(__name__)
BATCH = 100
DOUBTFUL = WAITING | IN_FLIGHT
NOT_STAGED = WAITING - {"staged"}
FORGOTTEN = (
    "This database was restored, and this was due before: it may have been published since the backup."
)


@dataclass(frozen=True)
class Adoption:
    """What became of the targets in doubt, by state; `unanswered` could not be asked about for now.

    `mark` is the new one, or None while anything is unanswered: nothing publishes until then.
    """

    found: Counter[str]
    unanswered: int
    mark: instance.Mark | None


def adopt(*, give_up: bool = False) -> Adoption | None:
    """Ask the platforms about everything that may have been published meanwhile, then let this database publish.

    None: there is nothing to adopt. With `give_up`, what cannot be asked about now is left to a person, too.
    Can be stopped and run again at any moment. Commits after each target.
    """
    if instance.check() is None:
        return None
    found: Counter[str] = Counter()
    unanswered = 0
    for item in _in_doubt():
        outcome = _verdict(item, _ask(item))
        if isinstance(outcome, PlatformAPIError) and give_up:
            outcome = Unknown(outcome.message)
        if isinstance(outcome, PlatformAPIError):
            unanswered += 1
        else:
            found[_write(item, outcome)] += 1
    if unanswered:
        return Adoption(found, unanswered, None)
    Step.doubt_open()
    mark = instance.adopt()
    wake_dispatcher()
    return Adoption(found, 0, mark)


def _in_doubt() -> Iterator[Loaded]:
    """Yield the targets that may have been published since the snapshot, oldest first, a batch at a time."""
    now = clock.now()
    query = select(Target.id, Target.fence).where(
        Target.state.in_(sorted(DOUBTFUL)), or_(Target.handle_encrypted.is_not(None), Target.due_at <= now)
    )
    claims = [(row.id, row.fence) for row in db.session.execute(query.order_by(Target.due_at))]
    db.session.rollback()
    for start in range(0, len(claims), BATCH):
        yield from publishing.load(claims[start : start + BATCH])


def _ask(item: Loaded) -> Outcome:
    """Ask the platform; with a token it refuses, which a backup's often is, renew that and ask once more."""
    if item.handle is None:
        return Unknown(FORGOTTEN)
    outcome = _ask_once(item)
    if isinstance(outcome, PlatformAPIError) and outcome.kind == "reauth":
        used, channel_id = item.token_refreshed_at, item.channel_id
        credentials.doubt(item.credential_id, outcome, used=used, channel_id=channel_id)
        outcome = _ask_once(item)
    return outcome


def _ask_once(item: Loaded) -> Outcome:
    try:
        credentials.ensure_fresh(item.credential_id, until=clock.now() + TOKEN_MARGIN)
        (item,) = publishing.load([(item.ref.id, item.ref.fence)])  # with the fresh token
        with log_context(**item.log_ids()):
            return item.platform.locate(item.request, item.handle or {})
    except PlatformAPIError as error:
        return error
    except (AppException, ValueError) as error:
        logger.error("target %s could not be asked about", item.ref.id, exc_info=True)
        return PlatformAPIError(f"It could not be asked about: {error}", platform=item.platform.name)


def _verdict(item: Loaded, outcome: Outcome) -> Outcome:
    """Return what an answer means after a restore; an error is left as it is if asking again may help."""
    if isinstance(outcome, PlatformAPIError):
        return outcome if outcome.retryable or outcome.kind == "ambiguous" else Unknown(outcome.message)
    starts_afresh = isinstance(outcome, HandleDead) or (
        isinstance(outcome, Rejected) and outcome.error.retryable
    )
    return Unknown(FORGOTTEN) if starts_afresh and item.due_at <= clock.now() else outcome


def _write(item: Loaded, outcome: Outcome) -> str:
    """Settle the target as one whose intent is written and whose commit was asked about. Commits."""
    now = clock.now()
    asked = replace(item, kind="locate", state="confirming", committed_at=item.committed_at or now)
    if item.state != "confirming":
        before, later = DOUBTFUL - {"confirming"}, now + timedelta(minutes=1)
        Target.move(
            item.ref, before=before, after="confirming", committed_at=asked.committed_at, next_at=later
        )
    (asked,) = ledger.open_many([asked])
    settling.settle([(asked, outcome)])
    if item.state in NOT_STAGED and Target.move(item.ref, before={"staged"}, after="scheduled", next_at=now):
        db.session.commit()  # what the snapshot does not call staged is brought on from where its handle stands
    state = db.session.scalar(select(Target.state).where(Target.id == item.ref.id))
    db.session.rollback()
    return str(state)
