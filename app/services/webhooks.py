"""Webhooks: endpoints a workspace wants to be told at, by the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
How events become deliveries, and deliveries calls, is in `deliveries`.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy import update as sql_update

from app import clock
from app.domain.principal import Principal
from app.exceptions import StateConflictError
from app.extensions import db, key_ring
from app.logging_config import get_logger
from app.models import Delivery, Event, Membership, User, Webhook, Workspace
from app.models.base import new_id
from app.models.page import Page, paginate
from app.queue import wake_dispatcher
from app.services import mails, outgoing
from app.services.idempotency import Remember, forget

logger = get_logger(__name__)
MOST = 20  # endpoints of a workspace
OLD_SECRET_FOR = timedelta(hours=24)
SECRET_BYTES = 32  # the specification allows 24 to 64


@dataclass(frozen=True)
class MadeWebhook:
    """An endpoint and its secret, which is shown once."""

    record: Webhook
    secret: str = field(repr=False)


def list_webhooks(principal: Principal, *, limit: int, cursor: str | None = None) -> Page[Webhook]:
    """Return the workspace's endpoints, newest first."""
    query = select(Webhook).where(Webhook.workspace_id == principal.workspace_id)
    return paginate(query, by=(Webhook.id,), limit=limit, cursor=cursor)


def get(principal: Principal, webhook_id: uuid.UUID) -> Webhook:
    return Webhook.get_owned(webhook_id, workspace_id=principal.workspace_id)


def create(
    principal: Principal,
    *,
    url: str,
    events: list[str],
    description: str = "",
    remember: Remember = forget,
) -> MadeWebhook:
    """Make an endpoint that is told of events from now on.

    Raises ValidationError for an address that is not public, StateConflictError when there are too many.
    """
    outgoing.check_url(url)
    have = select(func.count()).where(Webhook.workspace_id == principal.workspace_id)
    if (db.session.scalar(have) or 0) >= MOST:
        raise StateConflictError(
            f"A workspace has at most {MOST} webhooks. Delete one first.", {"allowed": MOST}
        )
    id_, secret = new_id(), _new_secret()
    webhook = Webhook(
        id=id_,
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        url=url,
        events=events,
        description=description,
        secret_encrypted=seal(id_, secret),
        after_seq=_newest(principal.workspace_id),
    )
    db.session.add(webhook)
    db.session.flush()
    return _made(webhook, secret, remember)


def _made(webhook: Webhook, secret: str, remember: Remember) -> MadeWebhook:
    made = MadeWebhook(webhook, secret)
    remember(made)
    db.session.commit()
    return made


def update(principal: Principal, webhook_id: uuid.UUID, changes: Mapping[str, Any]) -> Webhook:
    """Change an endpoint. Setting `status` to active lets a disabled one go on from where it stopped."""
    if "url" in changes:
        outgoing.check_url(changes["url"])
    webhook = Webhook.get_owned(webhook_id, workspace_id=principal.workspace_id, lock=True)
    for column, value in changes.items():
        setattr(webhook, column, value)
    if webhook.status == "active":
        webhook.failures, webhook.failing_since = 0, None
        webhook.rest_until, webhook.disabled_reason = None, None
        webhook.next_at = clock.now()
    else:
        webhook.next_at = None
    db.session.commit()
    wake_dispatcher()
    return webhook


def disable(webhook: Webhook, reason: str) -> None:
    """Disable an endpoint that failed for too long, and have it told, all in the caller's transaction.

    The workspace's other endpoints are told by the event, its owners by mail where that works. The row must be
    locked.
    """
    webhook.status, webhook.disabled_reason, webhook.next_at = "disabled", reason, None
    db.session.execute(
        sql_update(Delivery)
        .where(Delivery.webhook_id == webhook.id, Delivery.state == "pending")
        .values(state="failed", error="the webhook was disabled", next_at=None)
        .execution_options(synchronize_session=False)
    )
    # Not the whole address: it may hold a secret, which is none of the other endpoints' business.
    host = urlsplit(webhook.url).hostname or ""
    Event.record(
        "webhook.disabled",
        workspace_id=webhook.workspace_id,
        subject_id=webhook.id,
        data={"reason": reason, "host": host},
    )
    if mails.is_possible():
        _mail_owners(webhook, reason, host)
    logger.warning("a webhook was disabled", extra={"webhook_id": str(webhook.id), "reason": reason})


def _mail_owners(webhook: Webhook, reason: str, host: str) -> None:
    workspace = db.session.get_one(Workspace, webhook.workspace_id)
    owners = (
        select(User.email)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.workspace_id == workspace.id, Membership.role == "owner", User.deleted_at.is_(None))
    )
    facts = {"workspace": workspace.name, "host": host, "reason": reason, "webhook_id": str(webhook.id)}
    for email in db.session.scalars(owners.order_by(User.id)):
        mails.post("webhook_disabled", to=email, facts=facts)


def delete(principal: Principal, webhook_id: uuid.UUID) -> None:
    """Delete an endpoint and its deliveries."""
    db.session.delete(get(principal, webhook_id))
    db.session.commit()


def rotate_secret(principal: Principal, webhook_id: uuid.UUID, *, remember: Remember = forget) -> MadeWebhook:
    """Give an endpoint a new secret; the old one signs along for 24 hours."""
    webhook = Webhook.get_owned(webhook_id, workspace_id=principal.workspace_id, lock=True)
    secret = _new_secret()
    webhook.old_secret_encrypted = webhook.secret_encrypted
    webhook.old_secret_until = clock.now() + OLD_SECRET_FOR
    webhook.secret_encrypted = seal(webhook.id, secret)
    db.session.flush()
    return _made(webhook, secret, remember)


def ping(principal: Principal, webhook_id: uuid.UUID, *, remember: Remember = forget) -> Delivery:
    """Send a test event `webhook.ping` to this endpoint alone."""
    webhook = get(principal, webhook_id)
    now = clock.now()
    payload = {
        "type": "webhook.ping",
        "timestamp": clock.isoformat(now),
        "data": {"webhook_id": str(webhook.id)},
    }
    delivery = Delivery(
        id=new_id(),
        workspace_id=webhook.workspace_id,
        webhook_id=webhook.id,
        type="webhook.ping",
        payload=payload,
        next_at=now,
    )
    db.session.add(delivery)
    db.session.flush()
    remember(delivery)
    db.session.commit()
    wake_dispatcher()
    return delivery


def seal(webhook_id: uuid.UUID, secret: str) -> str:
    """Return a secret as it is stored."""
    return key_ring().encrypt(secret, context=f"webhooks:secret:{webhook_id}")


def reveal(webhook_id: uuid.UUID, sealed: str) -> str:
    """Return a stored secret in clear."""
    return key_ring().decrypt(sealed, context=f"webhooks:secret:{webhook_id}")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _newest(workspace_id: uuid.UUID) -> int:
    return db.session.scalar(select(func.max(Event.seq)).where(Event.workspace_id == workspace_id)) or 0
