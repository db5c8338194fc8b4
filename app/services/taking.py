"""Loading claimed targets for the engine, with tokens that outlive the call."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from flask import Flask, current_app

from app import clock
from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.services import credentials, instance, publishing, settling
from app.services.publishing import Loaded

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(seconds=60)
RENEWALS = 4  # threads that wait for tokens at a time
Claim = tuple[uuid.UUID, int]
_renewing = threading.BoundedSemaphore(RENEWALS)


def hand_in(claims: Sequence[Claim], submit: Callable[[Iterable[Loaded]], None]) -> None:
    """Submit claimed targets. Those whose token must be renewed first follow from a thread of their own.

    A token endpoint that hangs holds up nobody else's next job. With too many of those threads, or killed, the
    rows come back when their leases end.
    """
    ready, stale = _sorted(claims)
    submit(ready)
    if not stale or not _renewing.acquire(blocking=False):
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def renew() -> None:
        try:
            with app.app_context():
                submit(_renewed(stale))
        except Exception:  # the leases bring them back
            logger.error("renewing tokens broke", exc_info=True)
        finally:
            _renewing.release()

    threading.Thread(target=renew, name="renew", daemon=True).start()


def take(claims: Sequence[Claim]) -> Iterator[Loaded]:
    """Yield claimed targets loaded for the engine, with tokens that outlive the call.

    Those whose token must be renewed first come last; those whose token cannot be renewed are settled as if the
    platform had refused the call. Nothing comes while the database is not the one that may publish (see
    services/instance).
    """
    ready, stale = _sorted(claims)
    yield from ready
    yield from _renewed(stale)


def _sorted(claims: Sequence[Claim]) -> tuple[list[Loaded], dict[uuid.UUID, list[Claim]]]:
    """Return the targets that can be worked on now, and the claims of the others by their credential."""
    if reason := instance.check():
        logger.critical("nothing is published: %s", reason)
        return [], {}
    ready: list[Loaded] = []
    stale: dict[uuid.UUID, list[Claim]] = {}
    for item in publishing.load(claims):
        if item.token_lasts(max(clock.now(), item.due_at) + TOKEN_MARGIN):
            ready.append(item)
        else:
            stale.setdefault(item.credential_id, []).append((item.ref.id, item.ref.fence))
    return ready, stale


def _renewed(stale: Mapping[uuid.UUID, Sequence[Claim]]) -> Iterator[Loaded]:
    for credential_id, claims in stale.items():
        error = _renew(credential_id)
        items = publishing.load(claims)
        if error is None:
            yield from items
        else:
            settling.settle([(item, error) for item in items])


def _renew(credential_id: uuid.UUID) -> PlatformAPIError | None:
    """Renew this grant; return why it could not be."""
    try:
        credentials.ensure_fresh(credential_id, until=clock.now() + TOKEN_MARGIN)
    except PlatformAPIError as error:
        logger.warning("a token could not be renewed: %s", error.message)
        return error
    return None
