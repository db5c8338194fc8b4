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
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from app import clock
from app.exceptions import AuthorizationError
from app.platforms._meta import identifier, objects, whole
from app.platforms.base import Callback, Notice, Received

PURPOSES = ("webhook", "deauthorize", "data_deletion")
MAX_ENTRIES = 1000  # of one webhook call
OLDEST = timedelta(hours=73)  # webhooks are repeated for 36 h; how long these are is not told, so twice that
AHEAD = timedelta(minutes=5)  # how far Meta's clock may be before ours
_UNPROVEN = "This call does not prove that it comes from the platform."


def receive(callback: Callback, *, app_secrets: Sequence[str], verify_token: str) -> Received:
    """Return what a callback means. Raises AuthorizationError for one that does not prove its origin.

    `app_secrets` are those of the apps that may have sent it; empty ones prove nothing.
    """
    secrets = [secret for secret in app_secrets if secret]
    if callback.purpose == "webhook":
        return _verified(callback, verify_token) if callback.method == "GET" else _changes(callback, secrets)
    said = signed_request(callback.body, secrets)
    user_id, at = identifier(said.get("user_id")), _issued_at(said)
    if not user_id:
        raise AuthorizationError(_UNPROVEN)
    return Received([Notice("revoked" if callback.purpose == "deauthorize" else "delete", user_id, at=at)])


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


def _issued_at(said: dict[str, Any]) -> datetime:
    """Return when a request was signed: it speaks of what was given until then, and is not believed for ever."""
    seconds, now = whole(said.get("issued_at")), clock.now()
    if seconds is None or not 0 < seconds < 10**11:
        raise AuthorizationError("This call does not say when it was signed.")
    at = datetime.fromtimestamp(seconds, UTC)
    if not now - OLDEST <= at <= now + AHEAD:
        raise AuthorizationError("The signature of this call is too old, or from the future.")
    return at


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
