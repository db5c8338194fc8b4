"""Loading claimed targets for the engine, with tokens that outlive the call."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from app import clock
from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.services import credentials, instance, publishing
from app.services.publishing import Loaded

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(seconds=60)


def take(claims: Sequence[tuple[uuid.UUID, int]]) -> list[Loaded]:
    """Load claimed targets for the engine, with tokens that outlive the call.

    Nothing is returned while the database is not the one that may publish (see services/instance).
    """
    if reason := instance.check():
        logger.critical("nothing is published: %s", reason)
        return []
    items = publishing.load(claims)
    stale = {item.credential_id for item in items if _has_stale_token(item)}
    if not stale:
        return items
    unfresh = _unfresh(stale)
    return [item for item in publishing.load(claims) if item.credential_id not in unfresh]


def _has_stale_token(item: Loaded) -> bool:
    expires_at = item.token_expires_at
    return expires_at is not None and expires_at < max(clock.now(), item.due_at) + TOKEN_MARGIN


def _unfresh(credential_ids: set[uuid.UUID]) -> set[uuid.UUID]:
    """Renew these grants; return those that could not be. Their targets come back at the end of the lease."""
    failed: set[uuid.UUID] = set()
    for credential_id in credential_ids:
        try:
            credentials.ensure_fresh(credential_id, until=clock.now() + TOKEN_MARGIN)
        except PlatformAPIError as error:
            logger.warning("a token could not be renewed: %s", error.message)
            failed.add(credential_id)
    return failed
