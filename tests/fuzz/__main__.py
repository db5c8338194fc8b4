"""`make fuzz REQUESTS=50000 SEED=1 DATABASE=postgresql`: made-up requests at every operation, until so many were sent.

Prints the seed (the same seed makes the same requests), how far it is, and at the end what each operation
answered. Exit status 1 when anything was wrong: a 5xx, an answer that is not as described, an operation that
never succeeds. `ROUNDS=50` instead sends, so often, 200 requests with one Idempotency-Key at once, on SQLite and
on PostgreSQL; each round must make one post, and who cannot be told so yet is told to ask again (409, 503).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loguru import logger

from tests import factories
from tests.database import dispose, migrate
from tests.fuzz.campaign import CASES, Campaign, report
from tests.fuzz.copies import Copies, Files, Templates
from tests.fuzz.parallel import new_post, posts_with_one_key
from tests.fuzz.world import Installation, installation
from tests.sandbox_server import sandbox_thread
from tests.servers import postgres_server, redis_server

PROGRESS_EVERY = 10.0  # seconds
AT_ONCE = 200  # requests with one Idempotency-Key


def main() -> int:
    asked = _arguments()
    if asked.rounds:
        return _parallel(asked.rounds)
    print(f"seed={asked.seed} requests={asked.requests} database={asked.database}", flush=True)
    with _place(asked.database) as place:
        logger.remove()  # a line a request would be a gigabyte
        campaign = Campaign(place, seed=asked.seed)
        names = [name for name in campaign.operations if asked.only in {None, name}]
        for name in names:
            campaign.succeed(name)
        _fuzz(campaign, names, asked.requests)
    tallies = {name: campaign.tallies[name] for name in names}
    print(*report(tallies), *campaign.faults, sep="\n")
    barren = [name for name, tally in tallies.items() if not tally.succeeded]
    print(
        f"requests={campaign.sent} operations={len(names)} faults={len(campaign.faults)} barren={len(barren)}"
    )
    return 1 if campaign.faults or barren else 0


def _fuzz(campaign: Campaign, names: list[str], requests: int) -> None:
    began = told = time.monotonic()
    while campaign.sent < requests:
        for name in names:
            campaign.turn(name, cases=CASES)
            if time.monotonic() - told > PROGRESS_EVERY:
                told = time.monotonic()
                rate = campaign.sent / (told - began)
                print(
                    f"{campaign.sent} of {requests}, {rate:.0f}/s, faults {len(campaign.faults)}", flush=True
                )
            if campaign.sent >= requests:
                return


def _parallel(rounds: int) -> int:
    """Send requests with one key at once, so often, on each database. Return the exit status."""
    wrong = 0
    with _place("sqlite") as place, postgres_server() as postgres, postgres.database() as url:
        migrate(url, data_dir=place.app.extensions["settings"].data_dir)
        for name, app in (("sqlite", place.app), ("postgresql", place.app_on(url))):
            logger.remove()
            with app.app_context():
                owner = factories.make_person()
                headers = {"Authorization": f"Bearer {factories.make_access_token(owner)}"}
            answers: Counter[str] = Counter()
            for _ in range(rounds):
                made, round_answers = posts_with_one_key(app, headers, new_post(app, owner), requests=AT_ONCE)
                answers += round_answers
                wrong += made != 1 or not set(round_answers) <= {"made", "replayed", "409", "503"}
            shown = " ".join(f"{kind}:{count}" for kind, count in sorted(answers.items()))
            print(f"{name}: {rounds} rounds of {AT_ONCE} requests with one key   {shown}", flush=True)
            dispose(app)
    print(f"rounds={2 * rounds} wrong={wrong}")
    return 1 if wrong else 0


@contextmanager
def _place(database: str) -> Iterator[Installation]:
    """Yield an installation on servers of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        for name in ("redis", "data", "sandbox"):
            (folder / name).mkdir()
        copies = stack.enter_context(_copies(database, folder))
        url = stack.enter_context(redis_server(folder / "redis"))
        sandbox = stack.enter_context(sandbox_thread(folder / "sandbox"))
        yield stack.enter_context(
            installation(folder / "data", copies=copies, redis_url=url, sandbox=sandbox)
        )


@contextmanager
def _copies(database: str, folder: Path) -> Iterator[Copies]:
    if database == "sqlite":
        migrate(f"sqlite:///{folder / 'migrated.db'}", data_dir=folder)
        yield Files(folder / "data", folder / "migrated.db")
        return
    with postgres_server() as server:
        server.execute("CREATE DATABASE migrated")
        migrate(server.url("migrated"), data_dir=folder)
        yield Templates(server, "migrated")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=int(os.environ.get("REQUESTS") or 50_000))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or random.randrange(10**6)))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 0))
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), default=os.environ.get("DATABASE") or "sqlite"
    )
    parser.add_argument("--only", help="an operationId")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
