"""A published post is deleted at its platform when somebody wants it; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app import clock
from app.domain.principal import Principal
from app.exceptions import PlatformAPIError, PlatformValidationError, StateConflictError
from app.extensions import db
from app.models import Attempt, Event, Post, Target
from app.platforms.base import Rejected
from app.platforms.http import AnswerLost
from app.services import publishing, removal, settling, steps
from app.services.publishing import Loaded
from tests.services.afterwards import Afterwards, install, publish, step_of
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")
LINK = "https://example.com/r1"


@pytest.fixture
def platform(context: object, monkeypatch: pytest.MonkeyPatch) -> Afterwards:
    return install(monkeypatch)


@pytest.fixture
def item(platform: Afterwards, claimed: Claimed) -> Loaded:
    made = claimed("published", published_at=clock.now(), remote_id="r1", permalink=LINK)
    steps.plan(made, remote_id="r1")
    db.session.commit()
    return made


def remove(item: Loaded) -> Target:
    who = Principal(workspace_id=item.ref.workspace_id, user_id=None, role="editor")
    return removal.remove(who, item.ref.id)


def read(item: Loaded) -> Target:
    db.session.rollback()
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


def outcomes() -> list[str | None]:
    db.session.rollback()
    return list(db.session.scalars(select(Attempt.outcome).where(Attempt.operation == "remove")))


def test_a_removed_post_is_gone_told_and_in_the_ledger(platform: Afterwards, item: Loaded):
    shown = remove(item)

    assert platform.asked == [("remove", "r1")]
    assert (shown.state, shown.next_at) == ("removed", None)
    assert shown.error is not None
    assert (shown.error["code"], shown.error["action"]) == ("REMOVED_BY_USER", None)
    assert outcomes() == ["Removed"]
    assert "target.removed" in db.session.scalars(select(Event.type)).all()
    assert db.session.scalars(select(Post.status)).one() == "failed"
    assert step_of(item.ref.id).state == "cancelled"


def test_removing_twice_is_no_error_and_asks_once(platform: Afterwards, item: Loaded):
    first = remove(item)

    again = remove(item)

    assert (again.state, again.error) == (first.state, first.error)
    assert len(platform.asked) == 1


@pytest.mark.parametrize("state", ["scheduled", "failed", "publishing", "unknown"])
def test_only_what_is_published_can_be_removed(platform: Afterwards, item: Loaded, state: str):
    publish(item.ref.id, state=state)

    with pytest.raises(StateConflictError):
        remove(item)

    assert platform.asked == []


def test_a_platform_that_lets_nobody_delete_says_where_to_do_it(platform: Afterwards, item: Loaded):
    platform.can_remove = False  # type: ignore[misc]

    with pytest.raises(PlatformValidationError) as refused:
        remove(item)

    assert refused.value.details["permalink"] == LINK
    assert read(item).state == "published"


def test_a_post_whose_id_is_not_known_cannot_be_removed_yet(platform: Afterwards, item: Loaded):
    publish(item.ref.id, remote_id=None)

    with pytest.raises(StateConflictError):
        remove(item)

    assert platform.asked == []


def test_a_refusal_leaves_the_post_and_says_why(platform: Afterwards, item: Loaded):
    platform.says["remove"] = [PlatformAPIError("not yours", platform="tiktok", kind="account")]

    with pytest.raises(PlatformAPIError, match="not yours"):
        remove(item)

    assert read(item).state == "published"
    assert outcomes() == ["PlatformAPIError"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (AnswerLost(platform="tiktok"), "REMOVED_BY_USER"),
        (KeyboardInterrupt(), "REMOVED_BY_USER"),
        (PlatformAPIError("not yours", platform="tiktok", kind="account"), "PLATFORM_API_ERROR"),
    ],
    ids=["answer lost", "process died", "refused"],
)
def test_the_watch_that_misses_the_post_knows_who_removed_it(
    platform: Afterwards, item: Loaded, ending: BaseException, code: str
):
    platform.says["remove"] = [ending]
    with pytest.raises(type(ending)):
        remove(item)
    looked_at = read(item)
    assert looked_at.next_at is not None
    assert looked_at.next_at <= clock.now() + HOUR / 60

    gone: Any = Rejected(PlatformAPIError("It is gone.", platform="tiktok", kind="content"))
    settling.settle([(watching(looked_at), gone)])
    if code == "PLATFORM_API_ERROR":  # nobody deleted it, so it is asked twice
        settling.settle([(watching(read(item)), gone)])

    found = read(item)
    assert found.state == "removed"
    assert found.error is not None
    assert found.error["code"] == code


def watching(target: Target) -> Loaded:
    claim = (target.id, target.fence)
    (item,) = publishing.load([claim])
    return item
