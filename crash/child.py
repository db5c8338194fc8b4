"""How the product's processes are started here: `python -m crash.child workers` is `flask workers`, paced.

What the settings do not divide is divided here by the same factor; nothing else of the product is changed,
unless CRASH_PLANT names a design fault to plant (see crash/plants.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.rig import FACTOR

DEATHS = 50  # a row is hit far more often here than in life, so more workers and calls may die over it


def pace() -> None:
    """Divide by the factor what is no setting: pauses before retries, deadlines of calls, the herd's restarts."""
    from app.domain import retry
    from app.platforms import registry
    from app.platforms.http import HttpClient
    from app.services import claimed_steps, credentials, dispatch
    from jobs import workers

    for name in ("backoff", "poll_delay"):
        _replace_everywhere(name, getattr(retry, name))
    original = HttpClient.request

    def request(self: HttpClient, *args: Any, deadline: float, **options: Any) -> Any:
        return original(self, *args, deadline=deadline / FACTOR if deadline > 10 else deadline, **options)

    HttpClient.request = request  # type: ignore[method-assign]
    workers.RESTART_SECONDS = (0.05, 0.1, 0.2, 0.4)
    for adapter in registry.classes().values():
        adapter.max_repeats = None if adapter.max_repeats is None else DEATHS
    dispatch.MAX_DEATHS, dispatch.QUEUE_ROOM = DEATHS, 10
    credentials.LEASE /= FACTOR
    credentials.JUST_RENEWED /= FACTOR * 25  # tokens end here every few seconds
    claimed_steps.LOOK_AGAIN /= FACTOR
    claimed_steps.ID_LOOK /= FACTOR * 10


def _replace_everywhere(name: str, original: Any) -> None:
    def quicker(*args: Any, **options: Any) -> Any:
        return original(*args, **options) / FACTOR

    for module in list(sys.modules.values()):
        if getattr(module, name, None) is original:
            setattr(module, name, quicker)


def main() -> None:
    from flask.cli import main as flask

    from crash import plants, wal

    plants.steppable_clock(Path(os.environ["DATA_DIR"]))
    if name := os.environ.get("CRASH_PLANT"):
        plants.PLANTS[name].apply()
    if os.environ.get("CRASH_WATCH_LOG"):
        wal.watch()
    import wsgi  # noqa: F401  # loads everything, so that all of it is paced

    pace()
    sys.argv[0] = "flask"
    flask()


if __name__ == "__main__":
    main()
