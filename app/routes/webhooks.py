"""Webhooks: where a workspace is told what happens."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response

from app.models import Delivery, Webhook
from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once, once_apart
from app.schemas.base import PageQuerySchema, page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.webhooks import (
    DeliveriesQuerySchema,
    DeliverySchema,
    MadeWebhookSchema,
    NewWebhookSchema,
    WebhookChangesSchema,
    WebhookSchema,
)
from app.services import deliveries, webhooks

blp = Blueprint(
    "webhooks", __name__, description="Webhooks: where you are told what happens (Standard Webhooks)."
)


@blp.get("/webhooks")
@blp.requires(role="editor", scope="read")
@blp.arguments(PageQuerySchema, location="query")
@blp.response(200, page_schema(WebhookSchema))
def list_webhooks(query: dict[str, Any]) -> Page[Webhook]:
    """List the workspace's webhooks, newest first."""
    return webhooks.list_webhooks(principal(), **query)


@blp.post("/webhooks")
@blp.requires(role="editor", scope="write")
@blp.arguments(NewWebhookSchema)
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, MadeWebhookSchema)
def create_webhook(body: dict[str, Any], headers: dict[str, Any]) -> webhooks.MadeWebhook | Response:
    """Make a webhook. Its secret is shown this once."""
    return once_apart(  # looking an address up may take seconds
        headers["idempotency_key"],
        lambda remember: webhooks.create(principal(), **body, remember=remember),
        schema=MadeWebhookSchema,
        status=201,
        sealed=True,
    )


@blp.get("/webhooks/<uuid:webhook_id>")
@blp.requires(role="editor", scope="read")
@blp.response(200, WebhookSchema)
def get_webhook(webhook_id: uuid.UUID) -> Webhook:
    """Get a webhook."""
    return webhooks.get(principal(), webhook_id)


@blp.patch("/webhooks/<uuid:webhook_id>")
@blp.requires(role="editor", scope="write")
@blp.arguments(WebhookChangesSchema)
@blp.response(200, WebhookSchema)
def update_webhook(body: dict[str, Any], webhook_id: uuid.UUID) -> Webhook:
    """Change a webhook; `status: active` starts a disabled one again."""
    return webhooks.update(principal(), webhook_id, body)


@blp.delete("/webhooks/<uuid:webhook_id>")
@blp.requires(role="editor", scope="write")
@blp.response(204)
def delete_webhook(webhook_id: uuid.UUID) -> None:
    """Delete a webhook and the log of its deliveries."""
    webhooks.delete(principal(), webhook_id)


@blp.post("/webhooks/<uuid:webhook_id>/rotate-secret")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, MadeWebhookSchema)
def rotate_webhook_secret(headers: dict[str, Any], webhook_id: uuid.UUID) -> webhooks.MadeWebhook | Response:
    """Give a webhook a new secret. The old one signs along for 24 hours."""
    return once(
        headers["idempotency_key"],
        lambda remember: webhooks.rotate_secret(principal(), webhook_id, remember=remember),
        schema=MadeWebhookSchema,
        sealed=True,
    )


@blp.post("/webhooks/<uuid:webhook_id>/ping")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(202, DeliverySchema)
def ping_webhook(headers: dict[str, Any], webhook_id: uuid.UUID) -> Delivery | Response:
    """Send a test event, `webhook.ping`."""
    return once(
        headers["idempotency_key"],
        lambda remember: webhooks.ping(principal(), webhook_id, remember=remember),
        schema=DeliverySchema,
        status=202,
    )


@blp.get("/webhooks/<uuid:webhook_id>/deliveries")
@blp.requires(role="editor", scope="read")
@blp.arguments(DeliveriesQuerySchema, location="query")
@blp.response(200, page_schema(DeliverySchema))
def list_deliveries(query: dict[str, Any], webhook_id: uuid.UUID) -> Page[Delivery]:
    """List a webhook's deliveries, newest first."""
    return deliveries.list_deliveries(principal(), webhook_id, **query)


@blp.post("/deliveries/<uuid:delivery_id>/redeliver")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(202, DeliverySchema)
def redeliver_delivery(headers: dict[str, Any], delivery_id: uuid.UUID) -> Delivery | Response:
    """Send a delivery again, under its old id."""
    return once(
        headers["idempotency_key"],
        lambda remember: deliveries.redeliver(principal(), delivery_id, remember=remember),
        schema=DeliverySchema,
        status=202,
    )
