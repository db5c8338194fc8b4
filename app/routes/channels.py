"""Connected accounts."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response

from app.extensions import read_write
from app.models import Channel
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once
from app.schemas.base import page_schema
from app.schemas.channels import ChannelSchema, ChannelsQuerySchema, PostingOptionsSchema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.services import channels, posting

blp = Blueprint("channels", __name__, description="Channels: the accounts posts go to.")


@blp.get("/channels")
@blp.requires(role="viewer", scope="read")
@blp.arguments(ChannelsQuerySchema, location="query")
@blp.response(200, page_schema(ChannelSchema))
def list_channels(query: dict[str, Any]) -> Page[Channel]:
    """List the workspace's channels, newest first."""
    return channels.list_channels(principal(), **query)


@blp.get("/channels/<uuid:channel_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, ChannelSchema)
def get_channel(channel_id: uuid.UUID) -> Channel:
    """Get a channel."""
    return channels.get(principal(), channel_id)


@blp.get("/channels/<uuid:channel_id>/posting-options")
@blp.requires(role="editor", scope="write")
@blp.response(200, PostingOptionsSchema)
@blp.alt_response(409, description="The channel is disconnected.")
@blp.alt_response(502, description="The platform did not tell, or no longer accepts the connection.")
def get_posting_options(channel_id: uuid.UUID) -> dict[str, Any]:
    """Ask the platform what the channel may post at present; scheduling is checked against the last answer."""
    with read_write():  # the answer is kept
        return posting.ask(principal(), channel_id)


@blp.post("/channels/<uuid:channel_id>/pause")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, ChannelSchema)
def pause_channel(headers: dict[str, Any], channel_id: uuid.UUID) -> Channel | Response:
    """Hold everything that waits for this channel, at once."""
    return once(
        headers["idempotency_key"],
        lambda remember: channels.pause(principal(), channel_id, remember=remember),
        schema=ChannelSchema,
    )


@blp.post("/channels/<uuid:channel_id>/resume")
@blp.requires(role="editor", scope="publish")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, ChannelSchema)
def resume_channel(headers: dict[str, Any], channel_id: uuid.UUID) -> Channel | Response:
    """Let go of what the pause held."""
    return once(
        headers["idempotency_key"],
        lambda remember: channels.resume(principal(), channel_id, remember=remember),
        schema=ChannelSchema,
    )


@blp.delete("/channels/<uuid:channel_id>")
@blp.requires(role="editor", scope="write")
@blp.response(204)
def delete_channel(channel_id: uuid.UUID) -> None:
    """Disconnect a channel: what waits for it is held, its history stays, its grant is given back."""
    channels.disconnect(principal(), channel_id)
