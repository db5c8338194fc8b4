"""What becomes of posts that are watched, and of drafts that wait for somebody; on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Post, Target
from app.platforms.base import AwaitingUser, Published, Rejected, Unknown
from app.services import settling
from app.services.publishing import Loaded
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")

STILL_A_DRAFT = AwaitingUser(clock.now() + 24 * HOUR, "finish it")


def trouble(kind: str) -> PlatformAPIError:
    return PlatformAPIError("trouble", platform="tiktok", kind=kind)  # type: ignore[arg-type]


def target_of(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


@pytest.mark.parametrize(
    ("outcome", "late_in", "state"),
    [
        (Published("1", None), -HOUR, "published"),
        (Rejected(trouble("content")), HOUR, "failed"),
        (STILL_A_DRAFT, -HOUR, "expired"),
        (Unknown("gone"), -HOUR, "expired"),
        (trouble("reauth"), -HOUR, "expired"),
        (STILL_A_DRAFT, HOUR, "awaiting_user"),
    ],
)
def test_a_draft_ends_as_the_platform_says_or_when_its_time_is_over(
    claimed: Claimed, outcome: Any, late_in: timedelta, state: str
):
    item = claimed("awaiting_user", late_until=clock.now() + late_in)

    settling.settle([(item, outcome)])

    target = target_of(item)
    assert target.state == state
    assert target.lease_until is None
    assert (target.next_at is None) == (state in ("failed", "expired"))
    if state in ("failed", "expired"):
        assert db.session.get_one(Post, target.post_id).status == "failed"


def test_a_draft_shows_what_its_owner_must_do_and_until_when(claimed: Claimed):
    item, deadline = claimed("confirming"), clock.now() + HOUR

    settling.settle([(item, AwaitingUser(deadline, "Finish it in the app."))])

    target = target_of(item)
    assert target.error is not None
    assert (target.error["message"], target.error["action"]) == ("Finish it in the app.", "check_platform")
    assert (target.error["details"], target.late_until) == ({"deadline": deadline.isoformat()}, deadline)


def test_a_draft_its_owner_finished_has_nothing_to_show_any_more(claimed: Claimed):
    item = claimed("awaiting_user", error={"code": "AWAITING_USER"}, late_until=clock.now() + HOUR)

    settling.settle([(item, Published("1", None))])

    assert target_of(item).error is None


def test_a_published_post_that_nobody_can_ask_about_is_not_watched_for_ever(claimed: Claimed):
    item = claimed("published", published_at=clock.now() - 25 * HOUR)

    settling.settle([(item, trouble("reauth"))])

    assert target_of(item).next_at is None


@pytest.mark.parametrize("state", ["confirming", "published"])
def test_a_post_found_by_its_looks_is_not_ours_when_another_of_our_posts_has_it(claimed: Claimed, state: str):
    other, item = claimed("published", remote_id="77"), claimed(state)
    same_channel = update(Target).where(Target.id == other.ref.id).values(channel_id=item.channel_id)
    db.session.execute(same_channel)
    looks_like_it = Published("77", "https://example.com/77", matched=True)

    settling.settle([(item, looks_like_it)])
    taken = target_of(item)
    assert (taken.state, taken.remote_id, taken.permalink) == ("published", None, None)
    settling.settle(
        [(replace(item, state="published", kind="watch"), replace(looks_like_it, remote_id="78"))]
    )

    assert target_of(item).remote_id == "78"


GONE = Rejected(trouble("content"))


def test_a_post_that_is_missed_twice_was_removed_and_says_why(claimed: Claimed):
    item = claimed("published", published_at=clock.now(), remote_id="1")

    settling.settle([(item, GONE)])
    doubted = target_of(item)
    assert (doubted.state, doubted.error) == ("published", GONE.error.to_dict())
    assert doubted.next_at is not None
    assert timedelta(seconds=50) < doubted.next_at - clock.now() <= timedelta(seconds=60)
    settling.settle([(item, GONE)])

    target = target_of(item)
    assert (target.state, target.error, target.next_at) == ("removed", GONE.error.to_dict(), None)
    assert db.session.get_one(Post, target.post_id).status == "failed"


def test_a_post_that_is_back_when_asked_again_was_never_gone(claimed: Claimed):
    item = claimed("published", published_at=clock.now(), remote_id="1")

    for outcome in (GONE, Published("1", "https://example.com/1"), GONE):
        settling.settle([(item, outcome)])

    assert target_of(item).state == "published"


@pytest.mark.parametrize(
    ("outcome", "wait"),
    [
        (Published("1", "link"), timedelta(minutes=10)),
        (Published("1", None, complete=False), timedelta(seconds=2)),
        (Unknown("its upload is forgotten"), timedelta(minutes=10)),
        (trouble("transient"), timedelta(seconds=2)),
    ],
    ids=["all known", "no link yet", "cannot tell", "trouble"],
)
def test_the_next_look_comes_soon_only_while_something_is_missing(
    claimed: Claimed, outcome: Any, wait: timedelta
):
    item = claimed("published", published_at=clock.now(), remote_id="1")

    settling.settle([(item, outcome)])

    next_at = target_of(item).next_at
    assert next_at is not None
    assert wait - timedelta(seconds=2) < next_at - clock.now() <= wait


def test_a_platform_that_names_a_time_is_not_asked_before(claimed: Claimed):
    item = claimed("published", published_at=clock.now(), remote_id="1")
    later = clock.now() + HOUR
    busy = PlatformAPIError("slow down", platform="tiktok", kind="rate", retry_at=later)

    settling.settle([(item, busy)])

    assert target_of(item).next_at == later
