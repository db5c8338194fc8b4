"""Posts and when they go out."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, jsonify

from app.models import Post
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import ETAG, once, once_apart, once_tagged, tagged, wanted_version
from app.schemas.base import page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema, IfMatchHeaderSchema
from app.schemas.posts import (
    NewPostQuerySchema,
    NewPostSchema,
    PostChangesSchema,
    PostSchema,
    PostsQuerySchema,
    PreviewSchema,
    RepostSchema,
)
from app.schemas.timeline import TimelineSchema
from app.services import copies, edits, post_list, posts, timeline
from app.services.post_list import Filter

blp = Blueprint("posts", __name__, description="Posts: a video and its words, for one or more channels.")
Tagged = tuple[Post, dict[str, str]]
TIMES = frozenset({"scheduled_at", "scheduled_local", "publish_now"})


@blp.post("/posts")
@blp.requires(role="editor", scope="write")
@blp.arguments(NewPostSchema)
@blp.arguments(NewPostQuerySchema, location="query")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, PostSchema, headers=ETAG)
@blp.alt_response(200, schema=PreviewSchema, description="A dry run: what would have been stored.")
def create_post(body: Any, query: dict[str, Any], headers: dict[str, Any]) -> Tagged | Response:
    """Make a post: schedule it, publish it now, or keep it as a draft."""
    if query["dry_run"]:
        return jsonify(PreviewSchema().dump(posts.preview(body, principal())))
    if not body.get("draft"):
        principal().check(role="editor", scope="publish")
    once_only = once_apart if body.get("video") else once  # a host is looked up before an import is stored
    return tagged(
        once_only(
            headers["idempotency_key"],
            lambda remember: posts.create(body, principal(), remember=remember),
            schema=PostSchema,
            status=201,
        )
    )


@blp.get("/posts")
@blp.requires(role="viewer", scope="read")
@blp.arguments(PostsQuerySchema, location="query")
@blp.response(200, page_schema(PostSchema))
def list_posts(query: dict[str, Any]) -> Page[Post]:
    """List posts, newest first.

    Filtered by label or channel a page may hold fewer than `limit` although more follow: `has_more` says it.
    """
    paging = {name: query.pop(name) for name in ("limit", "cursor", "sort")}
    return post_list.list_posts(principal(), Filter(**query), **paging)


@blp.get("/posts/<uuid:post_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, PostSchema, headers=ETAG)
def get_post(post_id: uuid.UUID) -> Tagged | Response:
    """Get a post with its targets."""
    return tagged(posts.show(principal(), post_id))


@blp.patch("/posts/<uuid:post_id>")
@blp.requires(role="editor", scope="write")
@blp.arguments(PostChangesSchema)
@blp.arguments(IfMatchHeaderSchema, location="headers")
@blp.response(200, PostSchema, headers=ETAG)
def update_post(body: Any, headers: dict[str, Any], post_id: uuid.UUID) -> Tagged | Response:
    """Change a post that has not gone out. A time schedules a draft; `draft` takes it back.

    What is left out stays as it is. `add_targets` and `remove_targets` change which channels it goes to; what
    already waits for the others is not touched by that.
    """
    if TIMES & body.keys() or body.get("draft") is False:  # targets of a draft may have times of their own
        principal().check(role="editor", scope="publish")
    version = wanted_version(headers["if_match"])
    return tagged(edits.edit_post(principal(), post_id, body, version=version))


@blp.post("/posts/<uuid:post_id>/cancel")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, PostSchema, headers=ETAG)
def cancel_post(headers: dict[str, Any], post_id: uuid.UUID) -> Tagged | Response:
    """Stop everything of a post that has not gone out."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: posts.cancel(principal(), post_id, remember=remember),
        schema=PostSchema,
    )


@blp.post("/posts/<uuid:post_id>/publish-now")
@blp.requires(role="editor", scope="publish")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, PostSchema, headers=ETAG)
def publish_post_now(headers: dict[str, Any], post_id: uuid.UUID) -> Tagged | Response:
    """Make everything of a post that still waits due at once."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: edits.publish_now(principal(), post_id, remember=remember),
        schema=PostSchema,
    )


@blp.post("/posts/<uuid:post_id>/duplicate")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, PostSchema, headers=ETAG)
def duplicate_post(headers: dict[str, Any], post_id: uuid.UUID) -> Tagged | Response:
    """Make a draft that is like a post: same video, words, options and channels, no time."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: copies.duplicate(principal(), post_id, remember=remember),
        schema=PostSchema,
        status=201,
    )


@blp.post("/posts/<uuid:post_id>/repost")
@blp.requires(role="editor", scope="publish")
@blp.arguments(RepostSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, PostSchema, headers=ETAG)
def repost_post(body: Any, headers: dict[str, Any], post_id: uuid.UUID) -> Tagged | Response:
    """Post again what went out. Within 24 hours on the same channel it is refused, or waits until it is allowed."""
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: copies.repost_post(principal(), post_id, body, remember=remember),
        schema=PostSchema,
        status=201,
    )


@blp.get("/posts/<uuid:post_id>/timeline")
@blp.requires(role="viewer", scope="read")
@blp.response(200, TimelineSchema)
def get_post_timeline(post_id: uuid.UUID) -> dict[str, Any]:
    """Read what happened to a post, oldest first."""
    return {"data": timeline.of_post(principal(), post_id)}
