"""A burst: many commits at once cost as few statements as one, and each goes out once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, select

from app import clock
from app.extensions import db
from app.models import Attempt, Target
from app.platforms.base import Accepted, Published
from app.services import intents, settling
from app.services.outcomes import Outcome
from app.services.publishing import Loaded
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")
SOON = timedelta(seconds=30)


def statements(work: Callable[[], object]) -> int:
    """Return how many statements `work` sends to the database."""
    sent: list[str] = []

    def note(*args: object) -> None:
        sent.append(str(args[2]))

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(sent)


def ready(claimed: Claimed, count: int) -> list[Loaded]:
    return [claimed("staged", preflighted_at=clock.now()) for _ in range(count)]


def test_many_intents_are_as_many_statements_as_one(claimed: Claimed) -> None:
    one, many = ready(claimed, 1), ready(claimed, 12)

    assert statements(lambda: intents.write_intents(many)) == statements(lambda: intents.write_intents(one))


def accepted(number: int) -> Outcome:
    return Accepted(clock.now() + SOON * number)


def test_many_accepted_commits_are_as_many_statements_as_one(claimed: Claimed) -> None:
    one, many = (intents.write_intents(ready(claimed, count)) for count in (1, 12))

    counts = {
        statements(lambda: settling.settle([(item, accepted(number)) for number, item in enumerate(items)]))  # noqa: B023
        for items in (one, many)
    }

    assert len(counts) == 1


@pytest.mark.parametrize(
    "made", [accepted, lambda number: Published(str(number), f"https://example.com/{number}")]
)
def test_each_of_many_keeps_what_is_its_own(claimed: Claimed, made: Callable[[int], Outcome]) -> None:
    items = intents.write_intents(ready(claimed, 5))
    outcomes = [made(number) for number in range(5)]

    settling.settle(list(zip(items, outcomes, strict=True)))

    rows = {row.id: row for row in db.session.scalars(select(Target))}
    for item, outcome in zip(items, outcomes, strict=True):
        row = rows[item.ref.id]
        if isinstance(outcome, Accepted):
            assert (row.state, row.next_at, row.remote_id) == ("confirming", outcome.check_at, None)
        else:
            assert isinstance(outcome, Published)
            assert (row.state, row.remote_id, row.permalink) == (
                "published",
                outcome.remote_id,
                outcome.permalink,
            )
    assert {row.outcome for row in db.session.scalars(select(Attempt))} == {type(outcomes[0]).__name__}


def test_a_commit_that_lost_its_fence_changes_nothing_beside_the_others(claimed: Claimed) -> None:
    lost, kept = intents.write_intents(ready(claimed, 2))
    db.session.get_one(Target, lost.ref.id).fence += 1
    db.session.commit()

    settling.settle([(lost, accepted(1)), (kept, accepted(2))])

    db.session.expire_all()
    states = {row.id: row.state for row in db.session.scalars(select(Target))}
    assert states == {lost.ref.id: "publishing", kept.ref.id: "confirming"}
