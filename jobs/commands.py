"""The commands that run processes: `flask worker QUEUE`, `flask workers`, `flask dispatcher`, `flask adopt`."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import with_appcontext

from app.queue import QUEUES
from app.services import instance
from jobs import dispatcher, workers


def register(app: Flask) -> None:
    """Add the commands to the app."""
    for command in (run_worker, run_workers, run_dispatcher, adopt):
        app.cli.add_command(command)


@click.command("worker")
@click.argument("queue", type=click.Choice(QUEUES))
def run_worker(queue: str) -> None:
    """Work on one queue until SIGTERM."""
    workers.main([queue])  # type: ignore[list-item]  # a choice of QUEUES


@click.command("workers")
def run_workers() -> None:
    """Run all workers that WORKERS plans, forked from one parent."""
    workers.main()


@click.command("dispatcher")
def run_dispatcher() -> None:
    """Claim due work and hand it to the workers until SIGTERM."""
    dispatcher.main()


@click.command("adopt")
@with_appcontext
def adopt() -> None:
    """Let a restored or cloned database publish again, after asking the platforms what already went out."""
    mark = instance.adopt()
    click.echo(f"This database is now {mark.id}, generation {mark.generation}. Publishing goes on.")
