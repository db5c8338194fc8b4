"""Small commands for whoever runs this: `flask create-user`, `settings`, `doctor`, `keys rotate`, `storage`."""

from __future__ import annotations

from collections.abc import Iterator

import click
from flask import Flask
from flask.cli import with_appcontext

from app import env_example
from app.config import Settings, setting_fields
from app.exceptions import AppException
from app.extensions import settings
from app.schemas.auth import PASSWORD_MAX, PASSWORD_MIN
from app.services import doctor, keys, people
from app.storage_commands import storage_commands


def init_app(app: Flask, settings: Settings) -> None:  # noqa: ARG001 - every subsystem has this shape
    """Add the commands to `flask`."""
    for command in (create_user, show_settings, examine, key_commands, storage_commands):
        app.cli.add_command(command)


@click.command("create-user")
@click.argument("email")
@click.option("--name", default="", help="How the person is called.")
@click.password_option(help="Asked for when left out, so that it stays out of the shell's history.")
@with_appcontext
def create_user(email: str, name: str, password: str) -> None:
    """Make a user with a workspace of their own, whatever REGISTRATION says."""
    if "@" not in email or not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise click.UsageError(
            f"Give an e-mail address and a password of {PASSWORD_MIN} to {PASSWORD_MAX} characters."
        )
    try:
        people.create_user(email=email, password=password, name=name)
    except AppException as error:
        raise click.ClickException(error.message) from None
    click.echo(f"{email} may log in now.")


@click.command("settings")
@click.option("--example", is_flag=True, help="Print .env.example instead.")
@with_appcontext
def show_settings(example: bool) -> None:  # noqa: FBT001 - click's shape
    """Print the settings in force; secrets only as set or not."""
    if example:
        from app.platforms.registry import setting_specs

        click.echo(env_example.render(setting_specs()), nl=False)
        return
    for item in setting_fields():
        value = getattr(settings(), item.name)
        shown = ("(set)" if value else "(not set)") if item.metadata["secret"] else value
        click.echo(f"{item.name.upper()}={shown}")


@click.command("doctor")
@click.option("--before-start", is_flag=True, help="Only what must be right before the service is started.")
@with_appcontext
def examine(before_start: bool) -> None:  # noqa: FBT001 - click's shape
    """Say what is wrong with this installation and how to mend it; exit code 1 if anything fails."""
    findings = doctor.examine(running=not before_start)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for finding in findings:
        click.echo(
            f"{click.style(f'{finding.level:<4}', fg=colours[finding.level])}  {finding.check:<11} {finding.message}"
        )
        if finding.remedy:
            click.echo(f"                  -> {finding.remedy}")
    if any(finding.level == "fail" for finding in findings):
        raise SystemExit(1)


@click.group("keys")
def key_commands() -> None:
    """Look after the keys that seal tokens and upload handles (ENCRYPTION_KEYS)."""


@key_commands.command("rotate")
@with_appcontext
def rotate_keys() -> None:
    """Seal everything anew with the newest key; safe beside running processes, and may be run again."""
    ends = {progress.place: progress for progress in _shown(keys.rotate())}
    for place, progress in ends.items():
        click.echo(f"{progress.sealed:8} sealed anew in {place}")
    unreadable = sum(progress.unreadable for progress in ends.values())
    if unreadable:
        click.echo(f"{unreadable:8} cannot be read with any key of the ring; see the log")
    in_use = keys.old_keys()
    for key_id, places in in_use.items():
        where = f"still seals something in {', '.join(places)}; run this again" if places else "is unused now"
        click.echo(f"Key {key_id} {where}.")
    if any(in_use.values()):
        raise SystemExit(1)


def _shown(progress: Iterator[keys.Progress]) -> Iterator[keys.Progress]:
    """Pass progress on, saying every thousand rows that it goes on."""
    for item in progress:
        if item.sealed and item.sealed % 1000 == 0:
            click.echo(f"{item.sealed:8} ... {item.place}", err=True)
        yield item
