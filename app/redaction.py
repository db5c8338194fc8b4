"""What must never leave the process in a log line or an error report, and the one way it is taken out.

Patterns are linear in the length of the text (every repetition is bounded or anchored): the text is hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any
from urllib.parse import unquote, urlsplit

from app.config import Settings

REDACTED = "[redacted]"
MAX_TEXT = (
    8_192  # characters of one string; longer ones are cut, so that no line costs more than a millisecond
)
MAX_DEPTH = 6  # levels of nested containers that are shown
MAX_ITEMS = 100  # members of one container that are shown

_NAMES = (
    r"passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|encryption[_-]?key|authorization"
    r"|cookie|credential|signature|csrf|session|code[_-]verifier|nonce"
)
# Identifiers and counts about secrets are not secrets, and an operator needs them.
_HARMLESS_END = re.compile(r"(?:_ids?|_at|_type|_count|_seconds|_expires|_expires_in|_state)$", re.IGNORECASE)
_SENSITIVE_KEY = re.compile(rf"{_NAMES}|^auth$|^dsn$|^code$|^pwd$|^http\.(?:query|fragment)$", re.IGNORECASE)

# A text without any of these holds nothing the patterns could find: looking for them costs a microsecond.
_HINTS = (
    *(
        "passw",
        "passphrase",
        "secret",
        "token",
        "key",
        "authorization",
        "cookie",
        "credential",
        "signature",
        "csrf",
    ),
    *("session", "verifier", "nonce", "bearer", "basic", "eyj", "vsk_", "@", "code=", "state=", "sig="),
    *('"code"', '"auth"', '"dsn"', '"pwd"'),  # keys of a JSON line, see is_sensitive
)
_COOKIE_LINE = re.compile(r"((?:set-)?cookie\s*[:=]\s*)[^\r\n\"']+", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_QUOTED = r"\\?\"(?:[^\"\\]|\\[^\"])*\\?\"|'[^']*'"
_ASSIGNED = re.compile(
    rf"((?:{_NAMES})[\w-]{{0,32}})(\\?[\"']?\s{{0,4}}[:=]\s{{0,4}})({_QUOTED}|[^\s,;&\"'<>}}\])]+)",
    re.IGNORECASE,
)
_QUERY = re.compile(r"((?:^|[?&])(?:code|state|sig|key)=)[^&\s\"'#]+", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^/\s:@\"']{0,128}:[^/\s@\"']{1,256}@")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?")
_API_KEY = re.compile(r"vsk_[\w.-]+")
_LONG_SEGMENT = re.compile(r"(?<=/)[^/?#]{40,}")  # longer than a UUID: a signed link or a token
_EMAIL = re.compile(
    r"([A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{0,63}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})"
)

_known_secrets: tuple[str, ...] = ()


def know_secrets(values: Iterable[str]) -> None:
    """Take these exact texts (the configured secrets) out of everything from now on; under 8 are ignored."""
    global _known_secrets
    _known_secrets = tuple(sorted({value for value in values if len(value) >= 8}, key=len, reverse=True))


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the configured secrets, the passwords inside addresses and the keys of the ring among them."""
    for item in fields(settings):
        if item.metadata.get("secret"):
            value = str(getattr(settings, item.name))
            yield value
            password = urlsplit(value).password or "" if "://" in value else ""
            yield from (password, unquote(password))  # as it is written and as it is sent
    yield from (part.partition(":")[2] for part in settings.encryption_keys.split(","))


def is_sensitive(name: str) -> bool:
    """Say whether a value under this name is a secret, e.g. `access_token`, but not `token_id`."""
    return bool(_SENSITIVE_KEY.search(name)) and not _HARMLESS_END.search(name)


def redact(text: str) -> str:
    """Return the text without secrets, e-mail addresses masked (`a***@example.com`), cut to MAX_TEXT."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text)} characters)"
    if not may_hold_secrets(text):
        return text
    for secret in _known_secrets:
        text = text.replace(secret, REDACTED)
    return _redact_shapes(text)


def redact_path(path: str) -> str:
    """Return a URL or its path without what signs it: long segments (file links carry their proof there)."""
    return _LONG_SEGMENT.sub(REDACTED, path) if len(path) > 40 else path


def may_hold_secrets(text: str) -> bool:
    """Say whether `redact` has to look at the text at all; False is certain, True is not."""
    lowered = text.lower()
    return any(map(lowered.__contains__, _HINTS)) or any(map(text.__contains__, _known_secrets))


def redact_value(value: Any, *, name: str = "", depth: int = 0) -> Any:
    """Return JSON-ready data without secrets: judged by the name it stands under and by its own shape."""
    if name and is_sensitive(name) and value is not None and not isinstance(value, bool):
        return REDACTED
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # JSON has no NaN
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redact_container(value, depth) if depth < MAX_DEPTH else "..."
    return redact(_shown(value))


def _redact_container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        members = list(value.items())[:MAX_ITEMS]
        return {redact(str(key)): redact_value(item, name=str(key), depth=depth + 1) for key, item in members}
    return [redact_value(item, depth=depth + 1) for item in list(value)[:MAX_ITEMS]]


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a broken __str__ must not lose the line
        return f"<{type(value).__name__}: {type(error).__name__} in str()>"


def _redact_shapes(text: str) -> str:
    text = _COOKIE_LINE.sub(rf"\1{REDACTED}", text)
    text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    text = _ASSIGNED.sub(_redact_assigned, text)
    text = _QUERY.sub(rf"\1{REDACTED}", text)
    text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    text = _JWT.sub(REDACTED, text)
    text = _API_KEY.sub(REDACTED, text)
    return _EMAIL.sub(r"\1***@\2", text) if "@" in text else text


def _redact_assigned(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    if _HARMLESS_END.search(name) or REDACTED.startswith(value) or value.lower() in {"bearer", "basic"}:
        return match.group()
    return f"{name}{between}{_quote(value)}{REDACTED}{_quote(value)}"


def _quote(value: str) -> str:
    """Keep the quotes of what is replaced, so that a JSON text stays one."""
    if value.startswith('\\"'):
        return '\\"'
    return value[0] if value[0] in "\"'" else ""
