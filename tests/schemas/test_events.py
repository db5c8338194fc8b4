"""Events as they are shown."""

from __future__ import annotations

import uuid
from typing import get_type_hints

from app import clock
from app.models import Event
from app.models.event import EventData
from app.schemas.events import EventDataSchema, EventSchema
from app.schemas.timeline import TimelineDetailsSchema


def test_everything_an_event_may_say_is_described() -> None:
    assert {*EventDataSchema().fields} == {*get_type_hints(EventData)}


def test_an_event_says_what_it_knows_and_leaves_out_the_rest() -> None:
    said: EventData = {"changed": ["caption"], "video_id": str(uuid.uuid4()), "targets": 2}
    event = Event(seq=1, type="post.updated", data=dict(said), created_at=clock.now())

    assert EventSchema().dump(event)["data"] == said


def test_an_attempts_details_are_shown_as_they_are() -> None:
    details = {"outcome": None, "error": {"message": "no"}, "completed_at": None, "id": str(uuid.uuid4())}

    assert TimelineDetailsSchema().dump(details) == details
