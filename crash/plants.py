"""Design faults to plant, each switched on alone, to show that the harness can fail.

The product knows nothing of them: `crash.child` patches its own process when CRASH_PLANT names one. A plant is
what a hasty design would do instead; it works as long as nothing goes wrong, and the judge must see it when
something does (see crash/scenarios.py, which plays each beside the sound product).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plant:
    """`apply` patches the process it is called in; `scenario` names what exposes it."""

    what: str
    scenario: str
    apply: Callable[[], None]


PLANTS: dict[str, Plant] = {}


def patch(owner: object, name: str, value: object) -> None:
    """Put `value` where the product has something of that name; a name that is gone is told."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner!r} has no {name!r} any more: this plant plants nothing")
    setattr(owner, name, value)


def plant(what: str, *, scenario: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a patch under the name of its function."""

    def register(apply: Callable[[], None]) -> Callable[[], None]:
        PLANTS[apply.__name__] = Plant(what, scenario, apply)
        return apply

    return register


# -- what becomes of a commit whose answer is lost


def _on_doubt(react: Callable[[Any], Any]) -> None:
    """Replace what the product does when a commit's effect is not known."""
    from app.services import outcomes

    patch(outcomes, "_ask_later", lambda item, *_details: react(item))


@plant("a commit without an answer is tried again from the start", scenario="lost_answer")
def blind_retry() -> None:
    from app.platforms.base import HandleDead
    from app.services import outcomes

    _on_doubt(lambda item: outcomes._handle_dead(item, HandleDead("no answer")))


@plant("a commit without an answer failed", scenario="lost_answer")
def timeout_is_failure() -> None:
    from app.services import outcomes

    _on_doubt(lambda item: outcomes._move(item, "failed", next_at=None, error={"code": "TIMEOUT"}))


@plant("a commit without an answer is a person's trouble at once", scenario="lost_answer")
def unknown_instead_of_asking() -> None:
    from app.platforms.base import Unknown
    from app.services import outcomes

    _on_doubt(lambda item: outcomes._unknown(item, Unknown("no answer")))


@plant("a commit without an answer surely worked", scenario="never_arrived")
def success_assumed() -> None:
    from app.platforms.base import Published
    from app.services import outcomes

    _on_doubt(lambda item: outcomes._published(item, Published(None, None)))


@plant("asks at once, and takes `not there yet` for `never`", scenario="late_effect")
def no_settle_wait() -> None:
    from app import clock
    from app.platforms.base import NotCommitted
    from app.services import outcomes, step_ends

    _on_doubt(lambda item: outcomes._wait_for_answer(item, clock.now()))
    outcomes._AFTER[NotCommitted] = outcomes._handle_dead
    patch(step_ends, "quiet_for", lambda _item: timedelta(0))


@plant("the first post of the account's list is taken for ours", scenario="never_arrived")
def first_of_list_matching() -> None:
    from app.platforms import registry
    from app.platforms.base import NotCommitted, Published
    from tests.sandbox_server import Sim

    def locate(self: Any, request: Any, handle: Any) -> Any:  # noqa: ARG001
        posts = Sim(os.environ["SIM_URL"]).posts(platform=self.name, account=request.account.username)
        return Published(posts[0]["id"], posts[0]["permalink"]) if posts else NotCommitted()

    for name in registry.names():
        patch(registry.get_class(name), "locate", locate)


# -- who may write


@plant("writes carry no fence", scenario="frozen_stager")
def no_fence() -> None:
    from sqlalchemy import select

    from app.extensions import db
    from app.models import Target

    note = Target.note

    def unfenced(ref: Any, **values: Any) -> bool:
        fence = db.session.scalar(select(Target.fence).where(Target.id == ref.id))
        return note(replace(ref, fence=fence), **values)

    patch(Target, "note", unfenced)
    patch(Target, "_still_ours", lambda refs: Target.id.in_([ref.id for ref in refs]))


@plant("a lease is checked on the wall clock alone", scenario="frozen_commenter")
def lease_by_one_clock() -> None:
    from app import clock
    from app.services import claimed_steps, publishing

    for loaded in (claimed_steps.LoadedStep, publishing.Loaded):
        patch(loaded, "holds_lease", lambda self: clock.now() < self.lease_until)


# -- in which order things are written down


@plant("a post's intent is written after the call, just before its result", scenario="cancelled_after_call")
def commit_intent_after_call() -> None:
    from app import clock
    from app.extensions import settings
    from app.services import intents, settling

    write, settle = intents.write_intents, settling.settle

    def only_in_memory(items: Sequence[Any]) -> list[Any]:
        at = clock.now()
        lease_until = at + timedelta(seconds=settings().commit_lease_seconds)
        return [intents._under(item, lease_until, at) for item in items]

    def belated(results: Sequence[Any]) -> None:
        called = [item for item, _ in results if (item.kind, item.state) == ("commit", "publishing")]
        written = {item.ref: item for item in (write(called) if called else ())}
        settle([(written.get(item.ref, item), outcome) for item, outcome in results])

    patch(intents, "write_intents", only_in_memory)
    patch(settling, "settle", belated)


@plant("a comment's intent is written after the call, with its result", scenario="killed_after_comment")
def intent_after_call() -> None:
    from app.extensions import db
    from app.services import stepping

    def only_the_ledger(item: Any) -> Any:
        attempt_id = stepping._open_attempt(item, f"step.{item.step.kind}")
        db.session.commit()
        return item, attempt_id

    patch(stepping, "_write_intent", only_the_ledger)


@plant("work is acknowledged before its result is saved", scenario="killed_at_result")
def acknowledged_before_commit() -> None:
    from app import crash_points
    from app.extensions import db
    from app.models import Target
    from app.services import settling

    settle = settling.settle

    def hasty(results: Sequence[Any]) -> None:
        for item, _ in results:
            Target.note(item.ref, lease_until=None, next_at=None)
        db.session.commit()
        crash_points.hit("commit.after_result", *(item.platform.name for item, _ in results))
        settle(results)

    patch(settling, "settle", hasty)


@plant("Redis is the truth: what was handed over does not come back by itself", scenario="redis_lost")
def redis_as_truth() -> None:
    from app.services import dispatch

    claim = dispatch._claim_rows

    def handed_over(model: Any, now: Any, columns: Any, *where: Any, **options: Any) -> Any:
        return claim(model, now, columns, *where, **{**options, "lease": now + timedelta(days=1)})

    patch(dispatch, "_claim_rows", handed_over)


@plant("a renewed refresh token is not saved", scenario="expired_twice")
def refresh_token_not_saved() -> None:
    from app.services import credentials

    columns = credentials.token_columns

    def forgetful(*args: Any, **options: Any) -> dict[str, Any]:
        return {k: v for k, v in columns(*args, **options).items() if k != "refresh_token_encrypted"}

    patch(credentials, "token_columns", forgetful)


# -- what the database keeps


@plant("SQLite's synchronous is NORMAL", scenario="power_cut")
def synchronous_normal() -> None:
    from app import extensions

    prepare = extensions._prepare_sqlite

    def quick(connection: Any, record: object) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=NORMAL")

    patch(extensions, "_prepare_sqlite", quick)


@plant("a restored snapshot goes on as if nothing had happened", scenario="restored")
def snapshot_ignored() -> None:
    from app.services import instance

    check = instance.check

    def looked_at_and_ignored() -> None:
        check()

    patch(instance, "check", looked_at_and_ignored)


@plant("nobody reserves a channel's content", scenario="twins")
def content_reservation_skipped() -> None:
    from app.services import intents

    patch(intents, "_reserve_contents", lambda items, _now: list(items))


@plant("an interrupted comment is written again without a look", scenario="killed_after_comment")
def step_locate_skipped() -> None:
    from app.services import claimed_steps

    patch(claimed_steps.LoadedStep, "is_doubtful", property(lambda _self: False))


# -- not a plant: a wall clock that scenarios may set


def steppable_clock(folder: Path) -> None:
    """Let a file named by a process's id move that process's wall clock, by the seconds it holds."""
    from app import clock

    original = clock.now

    def now() -> Any:
        try:
            offset = float((folder / f"clock.{os.getpid()}").read_text())
        except (FileNotFoundError, ValueError):
            offset = 0.0
        return original() + timedelta(seconds=offset)

    patch(clock, "now", now)
