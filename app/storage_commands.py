"""`flask storage copy | check | limit`: files moved to another store, examined, and how many there may be."""

from __future__ import annotations

import uuid
from collections import Counter

import click
from flask.cli import with_appcontext

from app.exceptions import AppException
from app.services import copying, storage_check, storage_quota
from app.storage import BACKENDS, get_storage

SAID = {
    "moved": "moved",
    "gone": "deleted meanwhile",
    "busy": "just being removed there; run this again in a few minutes",
    "missing": "have a row but no file: flask storage check",
    "damaged": "are not what their rows say and stay where they are",
    "failed": "could not be moved now, see the log; run this again",
}
TROUBLES = {
    "orphan": "files no row names: --repair removes them",
    "leftover": "parts of uploads that ended long ago: --repair removes them",
    "missing": "rows without their file: originals come back from a backup only; --repair has the others made anew",
    "short": "files of another size than their row says: bring them back from a backup",
}
FINE = {"moved", "gone"}


@click.group("storage")
def storage_commands() -> None:
    """Look after the stored files."""


@storage_commands.command("copy")
@click.option("--to", type=click.Choice(BACKENDS), help="Where to. Left out: the store the settings name.")
@with_appcontext
def copy(to: str | None) -> None:
    """Move all files to one store while everything runs. May be stopped at any moment and run again."""
    ends: Counter[str] = Counter()
    try:
        goal = to or get_storage().backend
        work = copying.work(goal)
        click.echo(f"{work.files} files, {work.bytes / 1e9:.2f} GB, are to be moved to {goal}.")
        with click.progressbar(length=max(work.bytes, 1), label="Moving", show_pos=False) as bar:
            for moved in copying.copy(goal, on_bytes=bar.update):
                ends[moved.outcome] += 1
    except AppException as error:
        raise click.ClickException(error.message) from None
    for outcome, count in sorted(ends.items()):
        click.echo(f"{count:8} {SAID[outcome]}")
    if left := copying.under_way(goal):
        click.echo(f"{left:8} uploads are under way elsewhere; run this again when they have ended.")
    if ends.keys() - FINE:
        raise SystemExit(1)


@storage_commands.command("check")
@click.option("--repair", is_flag=True, help="Remove files no row names; mark what can be made anew.")
@with_appcontext
def check(repair: bool) -> None:  # noqa: FBT001 - click's shape
    """Find files without rows and rows without files. Removes nothing unless asked to."""
    found: Counter[str] = Counter()
    try:
        for trouble in storage_check.examine():
            found[trouble.kind] += 1
            done = storage_check.repair(trouble) if repair else ""
            click.echo(
                f"{trouble.kind:<9} {trouble.backend} {trouble.key} {trouble.size} bytes  {done}".rstrip()
            )
    except AppException as error:
        raise click.ClickException(error.message) from None
    for kind, count in sorted(found.items()):
        click.echo(f"{count:8} {TROUBLES[kind]}")
    if not found:
        click.echo("Every file has its row, and every row its file.")
    elif not repair:
        raise SystemExit(1)


@storage_commands.command("limit")
@click.argument("workspace_id", type=click.UUID)
@click.argument("limit", metavar="BYTES|default|none")
@with_appcontext
def limit(workspace_id: uuid.UUID, limit: str) -> None:
    """Say how many bytes one workspace may store: a number, `none`, or `default` (WORKSPACE_STORAGE_BYTES)."""
    named = {"default": None, "none": 0}
    if limit not in named and not (limit.isdecimal() and int(limit) > 0):
        raise click.UsageError(f"Give a number of bytes, `none` or `default`; found {limit!r}.")
    try:
        storage_quota.set_limit(workspace_id, named[limit] if limit in named else int(limit))
    except AppException as error:
        raise click.ClickException(error.message) from None
    usage = storage_quota.usage(workspace_id)
    allowed = "any number of" if usage.limit_bytes is None else str(usage.limit_bytes)
    click.echo(f"It stores {usage.counted_bytes} bytes and may store {allowed} bytes.")
