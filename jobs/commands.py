"""The commands that run processes: `flask worker QUEUE`, `flask workers`, `flask dispatcher`, `flask adopt`."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db, settings
from app.queue import QUEUES
from app.services import adoption, durability
from jobs import dispatcher, runtime, workers


def register(app: Flask) -> None:
    """Add the commands to the app."""
    for command in (run_worker, run_workers, run_dispatcher, adopt):
        app.cli.add_command(command)


def refuse_unsafe_database() -> None:
    """End with every fault of a database that may forget what was published, in production.

    Raises ClickException. Here, for these processes publish; `make serve` runs the whole doctor before them.
    """
    with runtime.app().app_context():
        found = _faults() if settings().is_production else []
        db.engine.dispose()  # workers fork
    if found:
        faults = "\n".join(f"- {fault.message}\n  -> {fault.remedy}" for fault in found)
        raise click.ClickException(f"Nothing is published on a database that may lose commits:\n{faults}")


def _faults() -> list[durability.Fault]:
    try:
        return durability.faults()
    except SQLAlchemyError:  # a database that is away is waited for
        return []


@click.command("worker")
@click.argument("queue", type=click.Choice(QUEUES))
def run_worker(queue: str) -> None:
    """Work on one queue until SIGTERM."""
    refuse_unsafe_database()
    workers.main([queue])  # type: ignore[list-item]  # a choice of QUEUES


@click.command("workers")
def run_workers() -> None:
    """Run all workers that WORKERS plans, forked from one parent."""
    refuse_unsafe_database()
    workers.main()


@click.command("dispatcher")
def run_dispatcher() -> None:
    """Claim due work and hand it to the workers until SIGTERM."""
    refuse_unsafe_database()
    dispatcher.main()


@click.command("adopt")
@click.option("--give-up", is_flag=True, help="Leave what cannot be asked about now to a person, too.")
@with_appcontext
def adopt(give_up: bool) -> None:  # noqa: FBT001  # click passes options by name
    """Let a restored or cloned database publish again, after asking the platforms what already went out."""
    done = adoption.adopt(give_up=give_up)
    if done is None:
        click.echo("There is nothing to adopt: this database is the one that was used last.")
        return
    for state, count in sorted(done.found.items()):
        click.echo(f"{count:6} in doubt, now {state}")
    if done.mark is None:
        raise click.ClickException(
            f"{done.unanswered} could not be asked about, so nothing is published yet. Run this again in a "
            "minute, or with --give-up to leave them to a person."
        )
    click.echo(f"This database is now {done.mark.id}, generation {done.mark.generation}. Publishing goes on.")
