"""What a platform takes down after publication ends as removed, with the reason; what we delete is gone there."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import clock
from app.domain.principal import Principal
from app.exceptions import PlatformValidationError
from app.extensions import db
from app.models import Post, Target
from app.platforms.registry import classes
from app.services import removal
from tests.rig import Rig, case_of

DATABASES = ("postgresql",)  # test_exactly_once, test_steps and `make crash` show that both do
REMOVABLE = [name for name, adapter in classes().items() if adapter.can_remove]


@pytest.fixture
def published(rig: Rig) -> dict[str, uuid.UUID]:
    """A published post on each platform, its id known."""
    targets = {name: publish(rig, name) for name in classes()}
    rig.wait_for(list(targets.values()), {"published"}, seconds=60)
    rig.wait_until(
        lambda: all(rig.read(target).remote_id for target in targets.values()),
        seconds=60,
        what=lambda: str({name: rig.read(target).remote_id for name, target in targets.items()}),
    )
    return targets


def publish(rig: Rig, platform: str) -> uuid.UUID:
    username = f"author_{uuid.uuid4().hex[:8]}"
    rig.sandbox.sim.account(username, platform=platform)
    channel_id = rig.make_channel(username, platform=platform)
    options = dict(case_of(platform).options)
    return rig.target(caption=f"{platform} {username}", due_in=0.5, channel_id=channel_id, options=options)


def look_now(rig: Rig, targets: Collection[uuid.UUID]) -> None:
    with rig.app.app_context():
        due = {"next_at": clock.now() - timedelta(seconds=1)}
        db.session.execute(update(Target).where(Target.id.in_(targets)).values(due))
        db.session.commit()
    rig.app.extensions["carrier"].wake_dispatcher()


def test_a_post_that_is_taken_down_ends_as_removed_with_the_reason(
    rig: Rig, published: dict[str, uuid.UUID]
) -> None:
    ids = list(published.values())
    for target in ids:
        rig.sandbox.sim.remove_post(str(rig.read(target).remote_id), reason="copyright")

    look_now(rig, ids)
    rig.wait_for(ids, {"removed"}, seconds=60)

    errors = {name: rig.read(target).error or {} for name, target in published.items()}
    assert {name: error["code"] for name, error in errors.items()} == dict.fromkeys(
        published, "PLATFORM_API_ERROR"
    )
    assert all(error["message"] and error["platform_code"] for error in errors.values()), errors


def test_a_post_that_we_delete_is_gone_at_the_platform(rig: Rig, published: dict[str, uuid.UUID]) -> None:
    who = Principal(workspace_id=rig.workspace_id, user_id=None, role="editor")
    for name, target in published.items():
        with rig.app.app_context():
            if name not in REMOVABLE:
                with pytest.raises(PlatformValidationError):
                    removal.remove(who, target)
            else:
                assert removal.remove(who, target).state == "removed"

    posts = {name: rig.sandbox.sim.posts(caption=caption(rig, target)) for name, target in published.items()}
    assert {name: found[0]["removed"] for name, found in posts.items()} == {
        name: name in REMOVABLE for name in published
    }


def caption(rig: Rig, target_id: uuid.UUID) -> str:
    with rig.app.app_context():
        return db.session.get_one(Post, rig.read(target_id).post_id).caption
