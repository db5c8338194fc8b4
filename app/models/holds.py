"""What stands in the way of a waiting target, as an expression over its row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Case, case, func, select

from app.models.channel import Channel
from app.models.video import Rendition, Video
from app.models.workspace import Workspace


def blocked(target: Any, now: datetime) -> Case[Any]:
    """Return what holds a row of `target`, strongest first; None: nothing.

    A target that needs a rendition is held until it is there, also when it is not there any more: the original
    in its place is never an answer.
    """
    paused = select(Workspace.paused_at).where(Workspace.id == target.workspace_id).scalar_subquery()
    channel_paused = select(Channel.paused_at).where(Channel.id == target.channel_id).scalar_subquery()
    channel = select(Channel.status).where(Channel.id == target.channel_id).scalar_subquery()
    video = select(Video.state).where(Video.id == target.video_id).scalar_subquery()
    rendition = select(Rendition.state).where(Rendition.id == target.rendition_id).scalar_subquery()
    return case(
        (paused.is_not(None), "paused"),
        (channel_paused.is_not(None), "paused"),
        (channel != "active", "reconnect"),
        (video == "processing", "media"),
        (target.rendition_id.is_not(None) & (func.coalesce(rendition, "") != "ready"), "media"),
        ((target.hold == "quota") & (target.hold_until > now), "quota"),
        ((target.hold == "approval"), "approval"),
        else_=None,
    )
