"""What happened to a post, as sentences."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Attempt, Post, Target
from app.services import timeline
from tests import factories
from tests.factories import Person


@pytest.fixture
def person(context: Flask) -> Person:
    return factories.make_person()


@pytest.fixture
def post(person: Person) -> Post:
    channel = factories.make_channel(person.workspace_id, username="ada")
    return factories.make_post(factories.make_video(person.workspace_id), channel)


@pytest.mark.parametrize(
    ("operation", "outcome", "error", "sentence"),
    [
        ("stage", "Staged", None, "Uploading to TikTok (ada): everything is ready."),
        ("commit", None, None, "Publishing on TikTok (ada): no answer was written down, yet or ever."),
        ("locate", "Published", None, "Asking TikTok (ada) what became of the post: it is there."),
        ("preflight", "PlatformAPIError", {"message": "Too old."}, "may post now: Too old."),
        ("stage", "PlatformAPIError", None, "Uploading to TikTok (ada): it failed."),
    ],
)
def test_every_dealing_with_the_platform_is_a_sentence(
    person: Person,
    post: Post,
    operation: str,
    outcome: str | None,
    error: dict[str, str] | None,
    sentence: str,
) -> None:
    target = db.session.scalars(select(Target)).one()
    ids = {"workspace_id": person.workspace_id, "target_id": target.id}
    db.session.add(Attempt(operation=operation, outcome=outcome, error=error, fence=1, **ids))
    db.session.commit()

    (entry,) = timeline.of_post(person.principal, post.id)

    assert entry.sentence.endswith(sentence)
    assert (entry.kind, entry.type, entry.target_id) == ("attempt", operation, target.id)


def test_events_and_dealings_are_in_the_order_of_their_times(person: Person, post: Post) -> None:
    target = db.session.scalars(select(Target)).one()
    begun = clock.now() - timedelta(minutes=5)
    ids = {"workspace_id": person.workspace_id, "target_id": target.id}
    db.session.add(Attempt(operation="stage", outcome="Staged", fence=1, started_at=begun, **ids))
    Target.move(target.ref, before={"scheduled"}, after="failed", fenced=False)
    db.session.commit()

    found = timeline.of_post(person.principal, post.id)

    assert [(entry.kind, entry.type) for entry in found] == [("attempt", "stage"), ("event", "target.failed")]


def test_times_among_the_details_are_written_like_all_others(person: Person, post: Post) -> None:
    target = db.session.scalars(select(Target)).one()
    now = clock.now()
    ids = {"workspace_id": person.workspace_id, "target_id": target.id}
    db.session.add(Attempt(operation="stage", outcome="Staged", fence=1, completed_at=now, **ids))
    db.session.commit()

    (entry,) = timeline.of_post(person.principal, post.id)

    assert entry.details["completed_at"] == clock.isoformat(now)
