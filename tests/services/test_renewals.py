"""A platform that refuses our client settings at the token endpoint fails no post; on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Credential, Target
from app.services import credentials, instance, renewals, staging, taking
from app.services.platforms import registry
from app.services.publishing import Loaded
from tests.services.conftest import HOUR, Claimed

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def told(context: object, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A platform that refuses the client secret; return what Sentry is told."""

    def refuse(_token: str) -> None:
        raise PlatformAPIError(
            "Check the secret.", platform="tiktok", kind="config", platform_code="invalid_client"
        )

    found: list[Any] = []
    monkeypatch.setattr(registry().get("tiktok"), "refresh", refuse)
    monkeypatch.setattr(renewals, "capture_error", found.append)
    return found


def spoil(item: Loaded) -> Loaded:
    db.session.get_one(Credential, item.credential_id).expires_at = clock.now()
    db.session.commit()
    db.session.expunge_all()
    assert instance.check() is None
    return item


def reread(item: Loaded) -> Target:
    db.session.expire_all()
    return db.session.get_one(Target, item.ref.id)


def test_a_wrong_client_secret_fails_nothing_that_is_being_staged(told: list[Any], claimed: Claimed) -> None:
    item = spoil(claimed("scheduled"))

    staging.stage(item.ref.id, item.ref.fence)

    target = reread(item)
    assert (target.state, target.lease_until, target.retries) == ("scheduled", None, 1)
    assert target.next_at is not None
    assert target.error is not None and "Check the secret." in target.error["message"]


@pytest.mark.parametrize("state", ["staged", "confirming"])
def test_a_wrong_client_secret_ends_nothing_that_is_due(
    told: list[Any], claimed: Claimed, state: str
) -> None:
    item = spoil(claimed(state, committed_at=clock.now() - HOUR))

    assert list(taking.take([(item.ref.id, item.ref.fence)])) == []

    target = reread(item)
    assert (target.state, target.lease_until, target.retries) == (state, None, 1)


def test_whoever_runs_the_installation_is_told_once(told: list[Any], claimed: Claimed) -> None:
    item = spoil(claimed("staged"))

    for _ in range(3):
        with pytest.raises(PlatformAPIError) as refused:
            credentials.ensure_fresh(item.credential_id, until=clock.now() + timedelta(minutes=1))

    row = db.session.get_one(Credential, item.credential_id, populate_existing=True)
    assert refused.value.retryable
    assert [error.kind for error in told] == ["config"]
    assert (row.status, (row.error or {})["kind"], row.retries) == ("active", "config", 3)
