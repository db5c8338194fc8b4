"""How often a commit that was found not made is made again, by the ledger; on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import clock
from app.extensions import db
from app.models import Target
from app.platforms.base import NotCommitted
from app.services import ledger, settling
from app.services.publishing import Loaded
from tests.services.conftest import Claimed

pytestmark = pytest.mark.usefixtures("database_url")


def target_of(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


def asked_again(item: Loaded) -> Loaded:
    """Return the target as it is when it is asked about once more, with its ledger row."""
    Target.move(item.ref, before={"staged"}, after="publishing", committed_at=clock.now())
    (item,) = ledger.open_many([replace(item, kind="locate", state="publishing")])
    db.session.commit()
    return item


@pytest.mark.parametrize(("most", "states"), [(1, ["staged", "unknown"]), (None, ["staged"] * 2)])
def test_a_commit_found_not_made_is_repeated_as_often_as_the_platform_allows(
    claimed: Claimed, monkeypatch: pytest.MonkeyPatch, most: int | None, states: list[str]
):
    item, found = claimed("staged"), []
    monkeypatch.setattr(type(item.platform), "max_repeats", most)

    for _ in states:
        settling.settle([(asked_again(item), NotCommitted())])
        found.append(target_of(item).state)

    assert found == states


def test_a_new_upload_may_be_committed_as_often_as_the_first(
    claimed: Claimed, monkeypatch: pytest.MonkeyPatch
):
    item = claimed("staged")
    monkeypatch.setattr(type(item.platform), "max_repeats", 1)
    settling.settle([(asked_again(item), NotCommitted())])
    ledger.open_many([replace(item, kind="stage")])

    settling.settle([(asked_again(item), NotCommitted())])

    assert target_of(item).state == "staged"
