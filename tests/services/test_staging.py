"""Staging: when a staged target is looked at again, and what trouble and stops on the way mean; on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Target
from app.platforms.base import Staged
from app.services import publishing, staging
from app.services.platforms import registry
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def stages(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Target]:
    """Stage a target with an adapter that does what is given; return its row afterwards."""

    def run(does: Callable[..., Any], **columns: Any) -> Target:
        columns = {"due_at": clock.now() + 23 * HOUR, "late_until": clock.now() + 25 * HOUR} | columns
        item = claimed("staging", **columns)
        monkeypatch.setattr(registry().get("tiktok"), "stage", does)
        staging.stage(item.ref.id, item.ref.fence)
        return db.session.scalars(select(Target)).one()

    return run


def until(ends: datetime) -> Callable[..., Staged]:
    return lambda *_: Staged(ends)


# -- when it is looked at again


@pytest.mark.parametrize("left", [MINUTE, 40 * MINUTE])
def test_an_upload_that_ends_long_before_its_post_is_not_looked_at_before_staging_would_begin(
    stages: Callable[..., Target], left: timedelta
) -> None:
    target = stages(until(clock.now() + left))

    assert target.due_at is not None
    assert (target.state, target.next_at) == ("staged", target.due_at - 40 * MINUTE)


def test_what_was_put_off_until_its_upload_was_over_is_staged_anew_in_time(claimed: Claimed) -> None:
    now = clock.now()
    item = claimed("staged", due_at=now + 40 * MINUTE, handle_expires_at=now - HOUR, preflighted_at=now)

    assert item.kind == "stage"


def test_an_upload_that_lasts_is_looked_at_for_its_preflight(stages: Callable[..., Target]) -> None:
    target = stages(until(clock.now() + 24 * HOUR))

    assert target.due_at is not None
    assert target.next_at == target.due_at - publishing.PREFLIGHT_AHEAD
