"""RQ functions of webhooks."""

from __future__ import annotations

import uuid

from app.services import deliveries
from jobs.runtime import app


def fan_out_events(webhook_id: str, fence: int) -> None:
    """Write a delivery for each event an endpoint has not been told."""
    with app().app_context():
        deliveries.fan_out(uuid.UUID(webhook_id), fence)


def deliver_event(delivery_id: str, fence: int) -> None:
    """Make one try of a delivery."""
    with app().app_context():
        deliveries.deliver(uuid.UUID(delivery_id), fence)
