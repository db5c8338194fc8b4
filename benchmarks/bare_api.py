"""The baseline of the API: the same rows by Flask and SQLAlchemy alone, written by hand as one would begin.

No login, no limits, no checks, no metrics, no log: a list, one post, and a new one with its target and its event.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, jsonify, request
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, joinedload, selectinload

from app.extensions import read_only
from app.models import Event, Post, Target, Video

WHOLE = (
    selectinload(Post.targets).joinedload(Target.channel),
    selectinload(Post.targets).selectinload(Target.steps),
)


def bare_app(engine: Engine, workspace_id: uuid.UUID) -> Flask:
    """Return an app with three views over the product's own tables."""
    app = Flask("bare")

    @app.get("/posts")
    def list_posts() -> Any:
        with read_only(), Session(engine) as session:
            query = select(Post).where(Post.workspace_id == workspace_id).order_by(Post.id.desc()).limit(51)
            return jsonify(data=[shown(post) for post in session.scalars(query.options(*WHOLE)).all()[:50]])

    @app.get("/targets")
    def list_targets() -> Any:
        with read_only(), Session(engine) as session:
            query = select(Target).where(Target.workspace_id == workspace_id)
            query = query.order_by(Target.due_at, Target.id).limit(51)
            query = query.options(joinedload(Target.channel), selectinload(Target.steps))
            return jsonify(data=[shown_target(target) for target in session.scalars(query).all()[:50]])

    @app.get("/posts/<uuid:post_id>")
    def get_post(post_id: uuid.UUID) -> Any:
        with read_only(), Session(engine) as session:
            query = select(Post).where(Post.id == post_id, Post.workspace_id == workspace_id)
            return jsonify(shown(session.scalars(query.options(*WHOLE)).one()))

    @app.post("/posts")
    def create_post() -> Any:
        with Session(engine, expire_on_commit=False) as session:
            session.add_all(post := made(session, workspace_id, request.get_json()))
            session.flush()
            query = select(Post).where(Post.id == post[0].id).execution_options(populate_existing=True)
            answer = shown(session.scalars(query.options(*WHOLE)).one())
            session.commit()
            return jsonify(answer), 201

    return app


def made(session: Session, workspace_id: uuid.UUID, body: dict[str, Any]) -> tuple[Post, Target, Event]:
    """Return the rows of a new post with one target."""
    due_at = datetime.fromisoformat(body["scheduled_at"])
    video = session.get_one(Video, uuid.UUID(body["video_id"]))
    post = Post(
        id=uuid.uuid4(), workspace_id=workspace_id, video_id=video.id, caption=body["caption"], status="scheduled",
        options=body["options"], scheduled_at=due_at, request_id=None,
    )  # fmt: skip
    ((platform, _),) = body["options"].items()
    target = Target(
        workspace_id=workspace_id, post_id=post.id, channel_id=uuid.UUID(body["targets"][0]["channel_id"]),
        video_id=video.id, platform=platform, content_hash=video.sha256, state="scheduled", due_at=due_at,
        late_until=due_at + timedelta(hours=2), next_at=due_at,
    )  # fmt: skip
    return post, target, Event(workspace_id=workspace_id, type="post.created", post_id=post.id)


def shown(post: Post) -> dict[str, Any]:
    """Return a post as JSON would have it."""
    names = ("id", "status", "title", "caption", "video_id", "options", "labels", "created_via", "version")
    times = {name: iso(getattr(post, name)) for name in ("scheduled_at", "created_at", "updated_at")}
    targets = [shown_target(target) for target in post.targets]
    return {name: getattr(post, name) for name in names} | times | {"targets": targets}


def shown_target(target: Target) -> dict[str, Any]:
    """Return a target as JSON would have it."""
    names = (
        "id",
        "post_id",
        "platform",
        "state",
        "hold",
        "title",
        "caption",
        "options",
        "permalink",
        "error",
    )
    times = {name: iso(getattr(target, name)) for name in ("due_at", "late_until", "next_at", "published_at")}
    channel = {"id": target.channel.id, "username": target.channel.username}
    steps = [{"kind": step.kind, "state": step.state} for step in target.steps]
    return {name: getattr(target, name) for name in names} | times | {"channel": channel, "steps": steps}


def iso(moment: datetime | None) -> str | None:
    """Return the moment as text."""
    return moment.isoformat() if moment else None
