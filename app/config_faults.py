"""What is wrong with settings that could be read: choices, contradictions, and what production refuses."""

from __future__ import annotations

import base64
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from app.config import Settings

_CHOICES = {
    "app_env": ("development", "production"),
    "storage_backend": ("folder", "s3"),
    "registration": ("open", "invitation", "closed"),
    "health_details": ("public", "token"),
    "s3_checksums": ("when_required", "when_supported"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
}


def faults(settings: Settings) -> list[str]:
    """Return every fault of settings that could be read, one sentence each."""
    found = [
        f"{name.upper()} must be one of {', '.join(choices)}, found {getattr(settings, name)!r}."
        for name, choices in _CHOICES.items()
        if getattr(settings, name) not in choices
    ]
    if settings.storage_backend == "s3" and not settings.s3_bucket:
        found.append("S3_BUCKET is needed when STORAGE_BACKEND is s3.")
    if urlsplit(settings.public_url).scheme not in {"http", "https"}:
        found.append(f"PUBLIC_URL must begin with http:// or https://, found {settings.public_url!r}.")
    if not settings.sqlalchemy_url.startswith(("sqlite:///", "postgresql+psycopg://")):
        found.append("DATABASE_URL must begin with sqlite:/// or postgresql+psycopg://.")
    found += [
        f"{name.upper()} must be 0 (for ever) or more days, found {getattr(settings, name)}."
        for name in ("retain_originals_days", "retain_renditions_days")
        if not getattr(settings, name) >= 0
    ]
    if settings.workspace_storage_bytes < 0:
        found.append(f"WORKSPACE_STORAGE_BYTES must be 0 or more, found {settings.workspace_storage_bytes}.")
    found += _network_faults(settings.outgoing_networks)
    if settings.smtp_url and urlsplit(settings.smtp_url).scheme not in {"smtp", "smtps", "smtp+plain"}:
        found.append("SMTP_URL must begin with smtp://, smtps:// or smtp+plain://.")
    return found + (_production_faults(settings) if settings.is_production else [])


def _network_faults(networks: tuple[str, ...]) -> list[str]:
    found = []
    for text in networks:
        try:
            ip_network(text)
        except ValueError:
            found.append(f"OUTGOING_NETWORKS must hold networks such as 10.1.0.0/16, found {text!r}.")
    return found


def _production_faults(settings: Settings) -> list[str]:
    faults = [
        f"{name.upper()} is needed in production: at least 32 random characters."
        for name in ("secret_key", "jwt_secret_key")
        if _is_guessable(getattr(settings, name))
    ]
    if not parse_key_ring(settings.encryption_keys):
        faults.append("ENCRYPTION_KEYS is needed in production: id:base64-of-32-bytes.")
    if settings.debug:
        faults.append("DEBUG must be off in production: it shows internals in logs.")
    if settings.crash_points:
        faults.append("CRASH_POINTS must be empty in production.")
    return faults


def _is_guessable(secret: str) -> bool:
    plain = secret.lower().replace("-", "").replace("_", "")
    return len(secret) < 32 or len(set(secret)) < 10 or "changeme" in plain


def parse_key_ring(text: str) -> dict[str, bytes]:
    """Return the key ring as id -> 32 bytes, newest first; empty when there is none or it is malformed."""
    ring: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            return {}
        if not key_id or len(key) != 32:
            return {}
        ring[key_id] = key
    return ring
