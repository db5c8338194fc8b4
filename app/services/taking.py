"""Loading claimed targets for the engine, with tokens that outlive the call."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

from app import clock
from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.services import credentials, instance, publishing, settling
from app.services.publishing import Loaded

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(seconds=60)


def take(claims: Sequence[tuple[uuid.UUID, int]]) -> Iterator[Loaded]:
    """Yield claimed targets loaded for the engine, with tokens that outlive the call.

    Those whose token must be renewed first come last, so that nobody else waits for them; those whose token
    cannot be renewed are settled as if the platform had refused the call. Nothing comes while the database is
    not the one that may publish (see services/instance).
    """
    if reason := instance.check():
        logger.critical("nothing is published: %s", reason)
        return
    items = publishing.load(claims)
    stale = {item.ref.id: item.credential_id for item in items if _has_stale_token(item)}
    yield from (item for item in items if item.ref.id not in stale)
    for credential_id in set(stale.values()):
        error = _renew(credential_id)
        renewed = publishing.load([claim for claim in claims if stale.get(claim[0]) == credential_id])
        if error is None:
            yield from renewed
        else:
            settling.settle([(item, error) for item in renewed])


def _has_stale_token(item: Loaded) -> bool:
    expires_at = item.token_expires_at
    return expires_at is not None and expires_at < max(clock.now(), item.due_at) + TOKEN_MARGIN


def _renew(credential_id: uuid.UUID) -> PlatformAPIError | None:
    """Renew this grant; return why it could not be."""
    try:
        credentials.ensure_fresh(credential_id, until=clock.now() + TOKEN_MARGIN)
    except PlatformAPIError as error:
        logger.warning("a token could not be renewed: %s", error.message)
        return error
    return None
