"""What Meta sends to us, proven before it is believed: webhooks, and people who take their consent back.

Source: core-platforms section 6; developers.facebook.com, Webhooks and Data Deletion Request Callback, 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from app.exceptions import AuthorizationError
from app.platforms._meta import identifier, objects
from app.platforms.base import Callback, Notice, Received

PURPOSES = ("webhook", "deauthorize", "data_deletion")
MAX_ENTRIES = 1000  # of one webhook call
_UNPROVEN = "This call does not prove that it comes from the platform."


def receive(callback: Callback, *, app_secrets: Sequence[str], verify_token: str) -> Received:
    """Return what a callback means. Raises AuthorizationError for one that does not prove its origin.

    `app_secrets` are those of the apps that may have sent it; empty ones prove nothing.
    """
    secrets = [secret for secret in app_secrets if secret]
    if callback.purpose == "webhook":
        return _verified(callback, verify_token) if callback.method == "GET" else _changes(callback, secrets)
    user_id = identifier(signed_request(callback.body, secrets).get("user_id"))
    if not user_id:
        raise AuthorizationError(_UNPROVEN)
    return Received([Notice("revoked" if callback.purpose == "deauthorize" else "delete", user_id)])


def signed_request(body: bytes, app_secrets: Sequence[str]) -> dict[str, Any]:
    """Return the payload of a form's `signed_request`: base64url(HMAC-SHA256) + "." + base64url(JSON).

    Raises AuthorizationError unless one of the secrets signed it.
    """
    try:
        form = parse_qs(body.decode("ascii", "replace"), max_num_fields=20)
    except ValueError:  # more fields than that
        raise AuthorizationError(_UNPROVEN) from None
    signature, _, payload = (form.get("signed_request") or [""])[0].partition(".")
    given = _unpadded(signature)
    expected = [
        hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest() for secret in app_secrets
    ]
    if not payload or not any(hmac.compare_digest(given, digest) for digest in expected):
        raise AuthorizationError(_UNPROVEN)
    return _object(_unpadded(payload))


def webhook_is_genuine(app_secret: str, body: bytes, header: str) -> bool:
    """Return whether `X-Hub-Signature-256` is the body's HMAC-SHA256 under the app's secret."""
    expected = hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={expected}".encode(), header.encode())


def _verified(callback: Callback, verify_token: str) -> Received:
    """Answer the challenge Meta sends when the webhook is set up."""
    query = callback.query
    given = query.get("hub.verify_token", "").encode()
    if not verify_token or not hmac.compare_digest(given, verify_token.encode()):
        raise AuthorizationError(_UNPROVEN)
    if query.get("hub.mode") != "subscribe":
        raise AuthorizationError(_UNPROVEN)
    return Received(answer=query.get("hub.challenge", "")[:200])


def _changes(callback: Callback, secrets: Sequence[str]) -> Received:
    header = callback.headers.get("x-hub-signature-256", "")
    if not any(webhook_is_genuine(secret, callback.body, header) for secret in secrets):
        raise AuthorizationError(_UNPROVEN)
    entries = objects(_object(callback.body).get("entry"))[:MAX_ENTRIES]
    ids = dict.fromkeys(found for entry in entries if (found := identifier(entry.get("id"))))
    return Received([Notice("changed", found) for found in ids])


def _unpadded(value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
