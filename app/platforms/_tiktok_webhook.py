"""TikTok's webhook: is it TikTok's, and which account does it speak of?

One address for all events of the app; delivered at least once, repeated for up to 72 hours, in any order. What
it says is taken as a hint to ask, so nothing of its content is used but the account.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta

from app import clock
from app.exceptions import AuthorizationError
from app.platforms.base import Callback, Notice, Received

SIGNATURE = re.compile(r"t=(\d{1,11}),\s*s=([0-9a-fA-F]{64})")
# Retries come for 72 h, and nobody knows whether they are signed anew: a narrower window would drop real ones.
OLDEST = timedelta(hours=73)
AHEAD = timedelta(minutes=5)  # how far TikTok's clock may be before ours
CHANGES = ("post.", "video.upload.", "video.publish.")  # the last two are older names of the first
_REFUSED = "This call does not prove that it comes from TikTok."


def read(callback: Callback, *, client_key: str, client_secret: str) -> Received:
    """Return what a webhook's call means. Raises AuthorizationError unless TikTok signed it for this app."""
    if callback.method != "POST" or not client_secret:
        raise AuthorizationError(_REFUSED)
    _check_signature(callback, client_secret)
    event = _read_json(callback.body)
    if event.get("client_key") != client_key:
        raise AuthorizationError("This call is meant for another TikTok app.")
    notice = _notice(event)
    return Received([notice] if notice else [])


def _check_signature(callback: Callback, secret: str) -> None:
    found = SIGNATURE.fullmatch(callback.headers.get("tiktok-signature", "").strip())
    if found is None:
        raise AuthorizationError(_REFUSED)
    stamp, given = found.groups()
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + callback.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(digest, given.lower()):
        raise AuthorizationError(_REFUSED)
    signed_at, now = datetime.fromtimestamp(int(stamp), UTC), clock.now()
    if not now - OLDEST <= signed_at <= now + AHEAD:
        raise AuthorizationError("The signature of this call is too old, or from the future.")


def _read_json(body: bytes) -> dict[str, object]:
    """Return a signed body; what is not an object names no app, and so is not for ours."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _notice(event: dict[str, object]) -> Notice | None:
    name, account = event.get("event"), event.get("user_openid")
    if not isinstance(name, str) or not isinstance(account, str) or not 0 < len(account) <= 200:
        return None
    if name == "authorization.removed":
        return Notice("revoked", account, at=_when(event.get("create_time")))
    return Notice("changed", account) if name.startswith(CHANGES) else None


def _when(seconds: object) -> datetime | None:
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < 10**11:
        return datetime.fromtimestamp(seconds, UTC)
    return None
