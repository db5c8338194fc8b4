"""What happened to a post, oldest first, in sentences a person reads: its events and every call to a platform."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app import clock
from app.domain.principal import Principal
from app.extensions import db
from app.models import Attempt, Event, Post, Target
from app.models.base import JsonObject
from app.services import posts
from app.services.platforms import registry

MOST = 1000  # entries of each kind; a post has a dozen

EVENTS: Mapping[str, str] = {
    "post.created": "The post was made.",
    "post.updated": "The post was changed.",
    "target.updated": "{channel} was changed.",
    "target.draft": "{channel} was put back to a draft.",
    "target.scheduled": "{channel} was scheduled.",
    "target.publishing": "Publishing on {channel} began.",
    "target.published": "Published on {channel}.",
    "target.awaiting_user": "{channel} waits for its owner to finish the post in the platform's app.",
    "target.unknown": "It is not known whether the post is on {channel}. Somebody must look.",
    "target.failed": "Publishing on {channel} failed.",
    "target.missed": "{channel} was missed: it was too late to publish.",
    "target.cancelled": "{channel} was cancelled.",
    "target.expired": "Nobody finished the post on {channel} in time.",
    "target.removed": "The post is no longer on {channel}.",
    "step.done": "{step} on {channel} is done.",
    "step.failed": "{step} on {channel} failed.",
    "step.unknown": "It is not known whether {step} on {channel} was done. Somebody must look.",
    "step.cancelled": "{step} on {channel} was not done: the post is gone.",
}
OPERATIONS: Mapping[str, str] = {
    "stage": "Uploading to {channel}",
    "preflight": "Asking whether {channel} may post now",
    "commit": "Publishing on {channel}",
    "locate": "Asking {channel} what became of the post",
    "watch": "Looking after the post on {channel}",
    "remove": "Deleting the post on {channel}",
    "step": "{step} on {channel}",
    "step.locate": "Asking {channel} about {step}",
}
OUTCOMES: Mapping[str, str] = {
    "Staged": "everything is ready.",
    "Wait": "it goes on later.",
    "Clear": "it may.",
    "Published": "it is there.",
    "Accepted": "taken, the platform is working on it.",
    "AwaitingUser": "the account's owner must finish it.",
    "Pending": "not decided yet.",
    "NotCommitted": "it was certainly not posted.",
    "NotStaged": "part of the upload is missing there; it is sent again.",
    "HandleDead": "it was certainly not posted; the upload must be done again.",
    "Rejected": "the platform refused it.",
    "Unknown": "the platform cannot tell.",
    "Removed": "it is gone.",
    "StepDone": "it is done.",
    "StepNotDone": "it was certainly not done.",
    "StepLater": "it is not possible yet.",
    "StepUnknown": "the platform cannot tell.",
}


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `kind`: event or attempt; `type`: the event's type or the attempt's operation."""

    at: datetime
    kind: str
    type: str
    sentence: str
    target_id: uuid.UUID | None
    channel: str | None
    details: JsonObject


def of_post(principal: Principal, post_id: uuid.UUID) -> list[Entry]:
    """Return the timeline of a post. Raises ResourceNotFoundError."""
    post = posts.get(principal, post_id)
    names = {target.id: _name(target) for target in post.targets}
    entries = [*_events(post, names), *_attempts(post, names)]
    return sorted(entries, key=lambda entry: entry.at)


def _name(target: Target) -> str:
    label = registry().get(target.platform).label
    called = target.channel.username or target.channel.display_name
    return f"{label} ({called})" if called else label


def _events(post: Post, names: Mapping[uuid.UUID, str]) -> list[Entry]:
    query = select(Event).where(Event.post_id == post.id).order_by(Event.seq).limit(MOST)
    return [_event(row, names) for row in db.session.scalars(query)]


def _event(row: Event, names: Mapping[uuid.UUID, str]) -> Entry:
    channel = names.get(row.target_id) if row.target_id else None
    plain = row.type.replace(".", " ").replace("_", " ").capitalize() + "."
    kind = str(row.data.get("kind", ""))
    sentence = EVENTS.get(row.type, plain).format(channel=channel or "A channel", step=_step_name(kind))
    return Entry(row.created_at, "event", row.type, sentence, row.target_id, channel, row.data)


def _attempts(post: Post, names: Mapping[uuid.UUID, str]) -> list[Entry]:
    targets = [target.id for target in post.targets]
    query = select(Attempt).where(Attempt.target_id.in_(targets)).order_by(Attempt.id).limit(MOST)
    return [_attempt(row, names[row.target_id]) for row in db.session.scalars(query)]


def _attempt(row: Attempt, channel: str) -> Entry:
    operation, step = row.operation, ""
    if operation.startswith("step."):
        _, step, question = (*operation.split("."), "")[:3]
        operation = f"step.{question}" if question else "step"
    plain = f"{operation} on {{channel}}"
    doing = OPERATIONS.get(operation, plain).format(channel=channel, step=_step_name(step))
    details = {
        "outcome": row.outcome,
        "error": row.error,
        "completed_at": _shown(row.completed_at),
        "id": str(row.id),
    }
    return Entry(
        row.started_at, "attempt", row.operation, f"{doing}: {_end(row)}", row.target_id, channel, details
    )


def _step_name(kind: str) -> str:
    """Return a step's kind as people say it: first_comment is First comment."""
    return kind.replace("_", " ").capitalize()


def _shown(instant: datetime | None) -> str | None:
    return clock.isoformat(instant) if instant else None


def _end(row: Attempt) -> str:
    if row.outcome is None:
        return "no answer was written down, yet or ever."
    message = (row.error or {}).get("message")
    return str(OUTCOMES.get(row.outcome) or message or "it failed.")
