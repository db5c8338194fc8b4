"""From the outbox to the endpoint: which events an endpoint is told, and telling it, at least once.

An endpoint's job reads the outbox after what it saw last and writes a delivery for each event that fits; a
delivery's job makes the call. A delivery keeps its id over all tries, so receivers can tell repeats. Tries
follow the specification's schedule, about 28 hours in all, with jitter.
"""

from __future__ import annotations

import json
import random
import uuid
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from flask import current_app
from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from standardwebhooks import Webhook as Signer

from app import clock
from app.config import VERSION
from app.domain.principal import Principal
from app.domain.retry import backoff
from app.exceptions import StateConflictError
from app.extensions import db
from app.models import Delivery, Event, Webhook
from app.models.base import JsonObject, new_id
from app.models.page import Led, Page, paginate
from app.queue import wake_dispatcher
from app.services import events, leases, outgoing, webhooks
from app.services.idempotency import Remember, forget
from app.services.outgoing import Answer

BATCH = 200  # events one job reads
DEADLINE = 15.0  # seconds for a call
# Pauses after the first, second ... failed try; the specification's recommendation, 27.6 hours in all.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 36_000))
JITTER = 0.1  # a pause is up to this share longer
DISABLE_AFTER = timedelta(days=5)  # of nothing but failures


# -- what there is to tell


def notice() -> None:
    """Make endpoints due whose workspace has events they have not seen. Commits.

    The process remembers the newest event it saw, once no older one can appear any more: without newer ones the
    endpoints are not asked for.
    """
    newest = db.session.execute(
        select(Event.seq, Event.created_at).order_by(Event.seq.desc()).limit(1)
    ).first()
    if newest and newest.seq > current_app.extensions.get("newest_event", 0):
        unseen = select(Event.seq).where(
            Event.workspace_id == Webhook.workspace_id, Event.seq > Webhook.after_seq
        )
        db.session.execute(
            update(Webhook)
            .where(Webhook.status == "active", Webhook.next_at.is_(None), unseen.exists())
            .values(next_at=clock.now())
            .execution_options(synchronize_session=False)
        )
        if events.is_settled(newest.created_at):
            current_app.extensions["newest_event"] = newest.seq
    db.session.commit()


def fan_out(webhook_id: uuid.UUID, fence: int) -> None:
    """Write a delivery for each new event this endpoint wants, and remember how far it has seen."""
    webhook = db.session.scalar(select(Webhook).where(Webhook.id == webhook_id, Webhook.fence == fence))
    if webhook is None or webhook.status != "active":
        db.session.rollback()
        return
    found, last = events.read(webhook.workspace_id, after=webhook.after_seq, limit=BATCH)
    _write([event for event in found if _wants(webhook, event)], webhook)
    unread = db.session.scalar(
        select(func.max(Event.seq)).where(Event.workspace_id == webhook.workspace_id, Event.seq > last)
    )
    pause = timedelta(seconds=0 if len(found) == BATCH else 1)
    columns = {"after_seq": last, "next_at": clock.now() + pause if unread else None, **leases.FREE}
    if leases.write(Webhook, webhook.id, fence, **columns):
        db.session.commit()
        wake_dispatcher()
    else:
        db.session.rollback()


def _wants(webhook: Webhook, event: Event) -> bool:
    """Does the endpoint want it? No filter means everything; what is about itself it is never told."""
    patterns = webhook.events or ["*"]
    return event.subject_id != webhook.id and any(fnmatchcase(event.type, each) for each in patterns)


def _write(found: list[Event], webhook: Webhook) -> None:
    now = clock.now()
    rows = [
        {
            "id": new_id(),
            "workspace_id": webhook.workspace_id,
            "webhook_id": webhook.id,
            "event_seq": event.seq,
            "type": event.type,
            "payload": _payload(event),
            "state": "pending",
            "next_at": now,
            "created_at": now,
            "updated_at": now,
            "tries": 0,
            "fence": 0,
            "attempts": 0,
        }
        for event in found
    ]
    if rows:
        dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
        db.session.execute(dialect.insert(Delivery).on_conflict_do_nothing(), rows)


def _payload(event: Event) -> JsonObject:
    ids = {"post_id": event.post_id, "target_id": event.target_id, "subject_id": event.subject_id}
    named = {name: str(value) for name, value in ids.items() if value is not None}
    return {
        "type": event.type,
        "timestamp": clock.isoformat(event.created_at),
        "data": {"seq": event.seq, **named, **event.data},
    }


# -- telling it


def deliver(delivery_id: uuid.UUID, fence: int) -> None:
    """Make one try of a delivery and write down how it ended."""
    row = db.session.execute(
        select(Delivery, Webhook)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.id == delivery_id, Delivery.fence == fence)
    ).first()
    db.session.commit()
    if row is None or not leases.begin(Delivery, delivery_id, fence):
        return
    delivery, webhook = row
    if reason := _put_off(webhook, clock.now()):
        leases.write(Delivery, delivery_id, fence, **reason)
        db.session.commit()
        return
    body = json.dumps(delivery.payload, separators=(",", ":"), ensure_ascii=False)
    headers = signed(webhook, f"msg_{delivery.id.hex}", body, at=clock.now())
    answer = outgoing.post(webhook.url, body=body.encode(), headers=headers, seconds=DEADLINE)
    _settle(delivery, webhook, fence, answer)


def _put_off(webhook: Webhook, now: datetime) -> dict[str, Any]:
    """Return the columns of a delivery that may not be tried now; none: it may."""
    if webhook.status != "active":
        return {"state": "failed", "error": "the webhook is disabled", "next_at": None, **leases.FREE}
    if webhook.rest_until is not None and webhook.rest_until > now:
        return {"next_at": webhook.rest_until, **leases.FREE}
    return {}


def signed(webhook: Webhook, message_id: str, body: str, *, at: datetime) -> dict[str, str]:
    """Return the headers of a call: signed with the secret, and with the one before while it still counts."""
    sealed = [webhook.secret_encrypted]
    if webhook.old_secret_encrypted and webhook.old_secret_until and webhook.old_secret_until > at:
        sealed.append(webhook.old_secret_encrypted)
    keys = [Signer(webhooks.reveal(webhook.id, each)) for each in sealed]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"multi-platform-video-scheduler/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(key.sign(message_id, at, body) for key in keys),
    }


def _settle(delivery: Delivery, webhook: Webhook, fence: int, answer: Answer) -> None:
    now, tries = clock.now(), delivery.tries + 1
    columns = {"tries": tries, "status": answer.status, "error": answer.error, "tried_at": now, **leases.FREE}
    if answer.is_success:
        columns |= {"state": "delivered", "delivered_at": now, "next_at": None}
    elif tries > len(PAUSES):
        columns |= {"state": "failed", "next_at": None}
    else:
        columns |= {"next_at": now + pause_after(tries)}
    if leases.write(Delivery, delivery.id, fence, **columns):
        _judge(webhook.id, answer, now)
    db.session.commit()


def pause_after(tries: int) -> timedelta:
    """Return how long to wait after the `tries`-th failed try, 1 to 7: so that many do not come back together."""
    return PAUSES[tries - 1] * (1 + random.uniform(0, JITTER))  # noqa: S311 - not a secret


def _judge(webhook_id: uuid.UUID, answer: Answer, now: datetime) -> None:
    """Remember how the endpoint does: one that fails rests, so that it does not eat the workers, and at last is
    disabled."""
    webhook = db.session.scalar(
        select(Webhook)
        .where(Webhook.id == webhook_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if webhook is None or webhook.status != "active":  # somebody was faster, and has told
        return
    if answer.is_success:
        webhook.failures, webhook.failing_since, webhook.rest_until = 0, None, None
        return
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or now
    if answer.status == 410:
        webhooks.disable(webhook, "It answered 410 Gone.")
    elif now - webhook.failing_since > DISABLE_AFTER:
        webhooks.disable(webhook, "It failed for five days.")
    else:
        webhook.rest_until = now + backoff(webhook.failures, first=2, ceiling=300)


def give_up(delivery_id: uuid.UUID, fence: int) -> None:
    """End a delivery that killed three workers. Commits."""
    leases.write(
        Delivery,
        delivery_id,
        fence,
        state="failed",
        error="our workers died over it",
        next_at=None,
        lease_until=None,
    )
    db.session.commit()


def give_up_fan_out(webhook_id: uuid.UUID, fence: int) -> None:
    """Let an endpoint whose reading killed three workers rest for an hour. Commits."""
    next_at = clock.now() + timedelta(hours=1)
    leases.write(Webhook, webhook_id, fence, next_at=next_at, lease_until=None, attempts=0)
    db.session.commit()


# -- the log


def list_deliveries(
    principal: Principal,
    webhook_id: uuid.UUID,
    *,
    limit: int,
    cursor: str | None = None,
    state: str | None = None,
) -> Page[Delivery]:
    """Return an endpoint's deliveries, newest first."""
    webhook = webhooks.get(principal, webhook_id)
    query = select(Delivery)
    led_by: Led = (Delivery.webhook_id, webhook.id)
    if state:
        query, led_by = query.where(Delivery.webhook_id == webhook.id), (Delivery.state, state)
    return paginate(query, by=(Delivery.id,), limit=limit, cursor=cursor, led_by=led_by)


def redeliver(principal: Principal, delivery_id: uuid.UUID, *, remember: Remember = forget) -> Delivery:
    """Send a delivery again, under its old id. Raises StateConflictError while it is still being tried."""
    delivery = Delivery.get_owned(delivery_id, workspace_id=principal.workspace_id, lock=True)
    if delivery.state == "pending":
        raise StateConflictError(
            "This delivery is still being tried.", {"state": delivery.state, "allowed": "delivered or failed"}
        )
    delivery.state, delivery.tries, delivery.next_at = "pending", 0, clock.now()
    db.session.flush()
    remember(delivery)
    db.session.commit()
    wake_dispatcher()
    return delivery
