"""The tables, a noun a file; a noun's queries are its classmethods."""

from app.models.attempt import Attempt
from app.models.channel import Channel, Connection, Credential
from app.models.chore import Chore
from app.models.deletion import DeletionRequest
from app.models.event import Event
from app.models.instance import Instance
from app.models.limits import ChannelContent, IdempotencyKey, QuotaWindow
from app.models.mail import Mail
from app.models.post import Post
from app.models.step import Step
from app.models.target import Target, TargetRef
from app.models.user import ApiKey, LoginSession, User
from app.models.video import Rendition, Upload, Video
from app.models.webhook import Delivery, Webhook
from app.models.workspace import Invitation, Membership, Workspace

__all__ = [
    "ApiKey",
    "Attempt",
    "Channel",
    "ChannelContent",
    "Chore",
    "Connection",
    "Credential",
    "DeletionRequest",
    "Delivery",
    "Event",
    "IdempotencyKey",
    "Instance",
    "Invitation",
    "LoginSession",
    "Mail",
    "Membership",
    "Post",
    "QuotaWindow",
    "Rendition",
    "Step",
    "Target",
    "TargetRef",
    "Upload",
    "User",
    "Video",
    "Webhook",
    "Workspace",
]
