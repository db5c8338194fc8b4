from __future__ import annotations

import io
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from app import clock
from app.config import Settings
from app.domain.target_state import OPEN, TRANSITIONS
from app.exceptions import PreconditionFailedError, ResourceNotFoundError, StateConflictError
from app.extensions import db
from app.models import Event, Upload, Video
from app.services import dispatch, uploads, videos
from app.storage import get_storage
from tests.factories import Person, make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture
def person(context: object) -> Person:
    return make_person()


def stored_video(person: Person) -> Video:
    """A ready video with a file and a picture in the store."""
    video = make_video(person.workspace_id)
    video.thumbnail_key = video.key.replace("original.mp4", "thumbnail.jpg")
    for key in (video.key, video.thumbnail_key):
        get_storage().put_stream(key, io.BytesIO(b"bytes"), max_bytes=5)
    db.session.commit()
    return video


def remove_what_is_planned() -> None:
    for job in dispatch.claim(dispatch.WORK[1], clock.now()):
        uploads.expire(uuid.UUID(job[1][0]), job[1][1])


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.storage_dir.rglob("*") if path.is_file()]


def test_an_unused_video_goes_with_its_files(database_url: str, person: Person, settings: Settings) -> None:
    video_id = stored_video(person).id

    videos.delete(person.principal, video_id)
    remove_what_is_planned()

    with pytest.raises(ResourceNotFoundError):
        videos.get(person.principal, video_id)
    assert files(settings) == []
    assert db.session.scalars(select(Upload)).all() == []


def test_files_go_only_after_the_deletion_is_committed(person: Person, settings: Settings) -> None:
    videos.delete(person.principal, stored_video(person).id)

    assert len(files(settings)) == 2
    remove_what_is_planned()
    assert files(settings) == []


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_video_is_kept_while_an_open_target_uses_it(person: Person, settings: Settings, state: str) -> None:
    video = stored_video(person)
    make_post(video, make_channel(person.workspace_id), state=state)

    with pytest.raises(StateConflictError):
        videos.delete(person.principal, video.id)
    remove_what_is_planned()
    assert len(files(settings)) == 2


@pytest.mark.parametrize("state", sorted(TRANSITIONS.keys() - OPEN))
def test_a_video_that_posts_tell_of_keeps_its_facts(
    database_url: str, person: Person, settings: Settings, state: str
) -> None:
    video = stored_video(person)
    make_post(video, make_channel(person.workspace_id), state=state)

    videos.delete(person.principal, video.id)
    videos.delete(person.principal, video.id)
    remove_what_is_planned()

    view = videos.get(person.principal, video.id)
    assert (view.state, view.file_url, view.thumbnail_url) == ("archived", None, None)
    assert view.facts is not None
    assert files(settings) == []
    assert [event.type for event in db.session.scalars(select(Event))] == ["video.deleted"]


def test_deleted_videos_are_listed_only_when_asked_for(person: Person) -> None:
    kept, gone = make_video(person.workspace_id), make_video(person.workspace_id, state="archived")

    assert [view.id for view in videos.list_videos(person.principal, limit=10).data] == [kept.id]
    asked = videos.list_videos(person.principal, limit=10, state="archived")
    assert [view.id for view in asked.data] == [gone.id]


def test_the_same_bytes_again_name_the_first_video_of_the_workspace(person: Person) -> None:
    stranger = make_video(make_person().workspace_id, sha256="a" * 64)
    first, second, third = (make_video(person.workspace_id, sha256="a" * 64) for _ in range(3))

    found = {view.id: view.duplicate_of for view in videos.list_videos(person.principal, limit=10).data}

    assert stranger.id not in found
    assert found == {first.id: None, second.id: first.id, third.id: first.id}


def test_an_edit_raises_the_version_and_leaves_the_rest(database_url: str, person: Person) -> None:
    video_id = make_video(person.workspace_id, title="Old", description="Kept").id

    view = videos.edit(person.principal, video_id, {"title": "New"}, version=1)

    assert (view.title, view.description, view.version) == ("New", "Kept", 2)
    with pytest.raises(PreconditionFailedError):
        videos.edit(person.principal, video_id, {"title": "Newer"}, version=1)


def test_a_strangers_video_cannot_be_edited_or_deleted(person: Person) -> None:
    video_id = make_video(make_person().workspace_id).id

    for act in (
        lambda: videos.edit(person.principal, video_id, {"title": "Mine"}),
        lambda: videos.delete(person.principal, video_id),
    ):
        with pytest.raises(ResourceNotFoundError):
            act()
