"""OAuth pieces that platforms share: PKCE in its variants, the consent URL, the token endpoint."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms._addresses import is_loopback
from app.platforms.http import HttpClient, Response

TOKEN_DEADLINE = 20.0  # seconds; people wait for it, and a lease is held meanwhile
MAX_LIFETIME = timedelta(days=3650)
_DEAD_GRANT = frozenset({"invalid_grant"})
_BAD_CLIENT = frozenset(
    {"invalid_client", "deleted_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"}
)


def new_state() -> str:
    """Return 256 bits of randomness that tie a callback to the consent it answers."""
    return secrets.token_urlsafe(32)


def new_verifier() -> str:
    """Return a PKCE code verifier: 43 characters of [A-Za-z0-9_-] (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(32)


def challenge_base64url(verifier: str) -> str:
    """Return the S256 code challenge of RFC 7636: base64url without padding."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def challenge_hex(verifier: str) -> str:
    """Return the code challenge as TikTok wants it for loopback redirects: hexadecimal, also called S256."""
    return hashlib.sha256(verifier.encode("ascii")).hexdigest()


def consent_url(base: str, params: Mapping[str, str]) -> str:
    """Return the address of the consent page with its query; values may hold any character."""
    separator = "&" if urlsplit(base).query else "?"
    return f"{base}{separator}{urlencode(params)}"


def is_loopback_url(url: str) -> bool:
    """Return whether a URL points to this machine, judged by its host alone."""
    return is_loopback((urlsplit(url).hostname or "").lower())


def callback_code(params: Mapping[str, str], *, platform: str) -> str:
    """Return the code of a callback's query. Raises PlatformAuthError when the person or platform refused."""
    if code := params.get("code"):
        return code
    reason = _word(params.get("error")) or "no code came back"
    if reason == "access_denied":
        message = "You did not give your consent, so nothing was connected. Connect again if you want to."
    else:
        message = f"The platform did not complete the consent ({reason}). Try to connect again."
    raise PlatformAuthError(message, {"error": reason}, platform=platform, platform_code=reason)


def post_form(http: HttpClient, url: str, form: Mapping[str, str], *, operation: str) -> dict[str, Any]:
    """Post a form to a token endpoint and return its flat JSON object.

    Success is decided by the `error` key, not by the status: some answer errors with HTTP 200. Raises
    PlatformAuthError only when the platform says that the grant is dead (`invalid_grant`); wrong client
    settings are kind config, everything else is transient.
    """
    response = http.request("POST", url, operation=operation, data=form, deadline=TOKEN_DEADLINE)
    if response.status == 429:
        retry_at = clock.now() + timedelta(seconds=60)
        raise PlatformRateLimitError(details=_facts(response), platform=http.platform, retry_at=retry_at)
    if response.status >= 500:
        message = f"The platform could not answer {operation} (HTTP {response.status}). We try again."
        raise PlatformAPIError(message, _facts(response), platform=http.platform)
    answer = response.json()
    if answer.get("error"):
        raise _refusal(_word(answer["error"]) or "unknown", response)
    if response.status >= 400:
        raise _refusal(f"http_{response.status}", response)
    return answer


def _refusal(code: str, response: Response) -> PlatformAPIError:
    facts, platform = _facts(response), response.platform
    if code in _DEAD_GRANT:
        return PlatformAuthError(details=facts, platform=platform, platform_code=code)
    if code in _BAD_CLIENT:
        message = f"The platform does not accept this installation's client settings ({code}). Check them."
        return PlatformAPIError(message, facts, platform=platform, kind="config", platform_code=code)
    message = f"The platform refused {response.operation} ({code}). We try again."
    return PlatformAPIError(message, facts, platform=platform, platform_code=code)


def _facts(response: Response) -> dict[str, Any]:
    return {"operation": response.operation, "status": response.status}


def _word(value: object) -> str | None:
    """Return an error code if it looks like one; anything longer or odder is not repeated to people."""
    return value if isinstance(value, str) and value.isascii() and _is_code(value) else None


def _is_code(value: str) -> bool:
    return 0 < len(value) <= 64 and value.replace("_", "").replace("-", "").replace(".", "").isalnum()


def text(answer: Mapping[str, Any], key: str, response_name: str, *, platform: str) -> str:
    """Return a non-empty string of an answer. Raises PlatformAPIError (transient) when it is not there."""
    value = answer.get(key)
    if isinstance(value, str) and value:
        return value
    message = f"The platform's answer to {response_name} lacks {key}."
    raise PlatformAPIError(message, {"missing": key}, platform=platform)


def expiry(seconds: object) -> datetime | None:
    """Return now plus a lifetime the platform named, or None when it named none that makes sense."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < 1e10:
        return None
    return clock.now() + min(timedelta(seconds=seconds), MAX_LIFETIME)


def scope_set(value: object) -> frozenset[str]:
    """Return granted scopes from a string separated by commas or blanks."""
    return frozenset(value.replace(",", " ").split()) if isinstance(value, str) else frozenset()
