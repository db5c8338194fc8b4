"""A Sentry transport that keeps what would have been sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import loguru
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from app.monitoring import sentry
from tests.canaries import look

DSN = "http://key@127.0.0.1:1/1"


class Kept(Transport):
    """Keeps envelopes instead of sending them."""

    sent: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope)
        look("report", envelope.serialize())


@contextmanager
def kept_reports() -> Iterator[list[dict[str, Any]]]:
    """Yield a list that, at the end, holds the events that left. `init_sentry` is called inside, with `Kept`."""
    Kept.sent = []
    events: list[dict[str, Any]] = []
    try:
        yield events
    finally:
        sentry_sdk.flush(timeout=1)
        items = [item for envelope in Kept.sent for item in envelope.items]
        events += [item.payload.json for item in items if item.type in {"event", "transaction"}]
        _stop()


def _stop() -> None:
    """Let go of the client and of the breadcrumbs' place in the log, so that other tests are alone."""
    sentry_sdk.get_global_scope().set_client(None)
    if sentry._breadcrumb_sink is not None:
        loguru.logger.remove(sentry._breadcrumb_sink)
        sentry._breadcrumb_sink = None
