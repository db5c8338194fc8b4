# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

import uuid

import pytest

from app.services import uploads_url, videos
from tests.factories import Person
from tests.services.test_uploads_url import person, settings  # noqa: F401 - fixtures


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("/v%00.mp4", "", "v.mp4"),
        ("/a%0Ab.mp4", "", "ab.mp4"),
        ("/a%2Fb.mp4", "", "b.mp4"),
        ("/v.mp4", "a\nb.mp4", "ab.mp4"),
        ("/v.mp4", "\n", "v.mp4"),
    ],
)
def test_a_name_is_cleaned_wherever_it_comes_from(
    database_url: str, person: Person, path: str, given: str, name: str
) -> None:
    made = uploads_url.create(person.principal, url=f"http://127.0.0.1{path}", filename=given)

    video = videos.get(person.principal, made.video_id or uuid.uuid4())
    assert (made.filename, video.filename) == (name, name)
