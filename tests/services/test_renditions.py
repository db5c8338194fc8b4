"""Which targets need a rendition, and that nothing else ever goes out in its place."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Channel, Post, Rendition, Target, Video
from app.services import originals, publishing, renditions, targets
from tests.factories import FACTS, make_channel, make_person, make_post, make_video, only_target

pytestmark = pytest.mark.usefixtures("context", "database_url")
LATE_INDEX = FACTS.to_dict() | {"is_fast_start": False}
PRORES = FACTS.to_dict() | {"video_codec": "prores", "container": "mov", "pixel_format": "yuv422p10le"}


def scheduled(facts: dict[str, Any], *platforms: str, **columns: Any) -> Post:
    """A post with a target on a channel of each platform, and what it needs begun."""
    video = make_video(make_person().workspace_id, facts=facts)
    channels = [make_channel(video.workspace_id, platform=name) for name in platforms]
    post = make_post(video, *channels, **columns)
    assign(post)
    return post


def assign(post: Post) -> None:
    renditions.assign(Target.post_id == post.id)
    Target.reckon_holds(Target.post_id == post.id)
    db.session.commit()


def by_platform(post: Post) -> dict[str, Target]:
    db.session.rollback()
    rows = db.session.scalars(
        select(Target).where(Target.post_id == post.id).execution_options(populate_existing=True)
    )
    return {row.platform: row for row in rows}


def made() -> list[Rendition]:
    return list(db.session.scalars(select(Rendition).execution_options(populate_existing=True)))


def finish(rendition: Rendition, *, state: str = "ready") -> None:
    rendition.state, rendition.key, rendition.backend = state, f"renditions/{rendition.id}/1.mp4", "folder"
    rendition.size_bytes, rendition.facts = 5, FACTS.to_dict() | {"duration_seconds": 7.0}
    rendition.sha256 = "0" * 64
    db.session.commit()


def claim(target: Target) -> tuple[uuid.UUID, int]:
    target.fence, target.lease_until = target.fence + 1, clock.now() + timedelta(seconds=60)
    db.session.commit()
    return target.id, target.fence


def test_only_what_needs_one_waits_for_a_rendition() -> None:
    post = scheduled(LATE_INDEX, "instagram", "tiktok")

    (row,) = made()
    found = by_platform(post)
    assert (found["instagram"].rendition_id, found["instagram"].hold) == (row.id, "media")
    assert (found["tiktok"].rendition_id, found["tiktok"].hold) == (None, None)
    assert (row.state, row.recipe["picture"]) == ("processing", None)


def test_one_rendition_is_made_for_all_that_need_the_same_work() -> None:
    post = scheduled(PRORES, "instagram", "tiktok", "facebook", "youtube")

    (row,) = made()
    found = by_platform(post)
    assert {found[name].rendition_id for name in ("instagram", "tiktok", "facebook")} == {row.id}
    assert found["youtube"].rendition_id is None


def test_another_post_with_the_same_video_finds_the_rendition_again() -> None:
    first = scheduled(PRORES, "instagram", "tiktok", "facebook")
    video = db.session.get_one(Video, first.video_id)
    second = make_post(video, make_channel(video.workspace_id, platform="tiktok"))
    assign(second)

    (row,) = made()
    assert by_platform(second)["tiktok"].rendition_id == row.id


def test_a_target_is_let_go_when_its_rendition_is_there_and_takes_it() -> None:
    post = scheduled(LATE_INDEX, "instagram")
    (row,) = made()
    finish(row)
    Target.reckon_holds(Target.post_id == post.id)
    db.session.commit()
    target = by_platform(post)["instagram"]

    (item,) = publishing.load([claim(target)])

    assert target.hold is None
    assert (item.request.source.size, item.request.source.content_type) == (5, "video/mp4")
    assert item.request.duration_seconds == 7.0
    assert f"/{row.id}" not in item.content_hash and item.content_hash == target.content_hash
    assert item.request.public_link("video").endswith("/1.mp4")


@pytest.mark.parametrize("state", ["processing", "failed", "removed"])
def test_a_claimed_target_whose_rendition_is_not_there_is_not_worked_on_but_held(state: str) -> None:
    post = scheduled(LATE_INDEX, "instagram")
    (row,) = made()
    finish(row, state=state)
    target = by_platform(post)["instagram"]
    target.hold = None

    assert publishing.load([claim(target)]) == []
    assert by_platform(post)["instagram"].hold == "media"


def test_the_rendition_of_another_video_never_goes_out() -> None:
    post = scheduled(LATE_INDEX, "instagram")
    (row,) = made()
    finish(row)
    target = by_platform(post)["instagram"]
    target.video_id, target.hold = make_video(post.workspace_id).id, None

    assert publishing.load([claim(target)]) == []


def test_another_fit_makes_another_rendition_and_forgets_what_was_uploaded() -> None:
    post = scheduled(LATE_INDEX, "instagram", "tiktok")
    (old,) = made()
    finish(old)
    for target in by_platform(post).values():
        target.state = "staged"
        target.handle_encrypted = publishing.seal_handle(target.id, {"id": "old"})
    post.fit = {"start": 0.0, "end": 5.0}
    db.session.commit()

    assign(post)

    found = by_platform(post)
    (new,) = [row for row in made() if row.id != old.id]
    for target in found.values():
        assert (target.state, target.handle_encrypted, target.hold) == ("scheduled", None, "media")
        assert target.rendition_id == new.id
    assert new.recipe["end"] == 5.0


def test_what_serves_stays_so_that_an_upload_is_not_lost() -> None:
    post = scheduled(PRORES, "instagram")
    (row,) = made()
    finish(row)
    target = by_platform(post)["instagram"]
    target.state, target.handle_encrypted = "staged", publishing.seal_handle(target.id, {"id": "old"})
    db.session.commit()

    assign(post)

    found = by_platform(post)["instagram"]
    assert (found.state, found.rendition_id, found.handle_encrypted is None) == ("staged", row.id, False)


@pytest.mark.parametrize("state", ["failed", "removed"])
def test_a_rendition_that_is_gone_is_made_anew_for_a_target_that_needs_it(state: str) -> None:
    post = scheduled(LATE_INDEX, "instagram")
    (row,) = made()
    row.state, row.next_at = state, None
    db.session.commit()

    assign(post)

    (again,) = made()
    assert (again.id, again.state, again.next_at is None) == (row.id, "processing", False)


def test_a_file_that_vanished_is_made_again_and_staged_anew() -> None:
    post = scheduled(LATE_INDEX, "instagram")
    (row,) = made()
    finish(row)
    target = by_platform(post)["instagram"]
    target.state, target.handle_encrypted = "staging", publishing.seal_handle(target.id, {"id": "old"})
    db.session.commit()

    renditions.make_again(row.id)

    found = by_platform(post)["instagram"]
    assert (found.state, found.handle_encrypted, found.hold) == ("scheduled", None, "media")
    assert made()[0].state == "processing"


def test_a_post_made_before_its_video_was_measured_gets_its_rendition_then() -> None:
    video = make_video(make_person().workspace_id, state="processing", facts=None)
    post = make_post(
        video, *(make_channel(video.workspace_id, platform=name) for name in ("instagram", "tiktok"))
    )
    assign(post)
    assert made() == []

    video.state, video.facts = "ready", LATE_INDEX
    targets.media_settled(video.id)
    db.session.commit()

    found = by_platform(post)
    assert (found["instagram"].hold, found["tiktok"].hold) == ("media", None)
    assert found["instagram"].rendition_id == made()[0].id


def test_what_nothing_mends_ends_when_the_video_is_measured() -> None:
    video = make_video(make_person().workspace_id, state="processing", facts=None)
    post = make_post(video, make_channel(video.workspace_id, platform="instagram"))
    post.fit = {"end": 99.0}
    video.state, video.facts = "ready", LATE_INDEX
    targets.media_settled(video.id)
    db.session.commit()

    target = only_target(post)
    assert target.state == "failed"
    assert "only 8 s long" in (target.error or {})["message"]
    assert made() == []


def test_drafts_need_nothing() -> None:
    post = scheduled(LATE_INDEX, "instagram", state="draft")

    assert made() == []
    assert db.session.get_one(Channel, only_target(post).channel_id).platform == "instagram"


def test_a_cover_frame_is_looked_for_where_it_lies_in_the_part_that_goes_out() -> None:
    post = scheduled(LATE_INDEX, "instagram", fit={"start": 2.0})
    (row,) = made()
    finish(row)
    video = db.session.get_one(Video, post.video_id)
    for at, expected in ((5.0, 3.0), (1.0, 0.0), (99.0, 7.0)):
        video.thumbnail_at = at
        assert originals.thumbnail_at(video, row) == expected
    assert originals.thumbnail_at(video, None) == 99.0
