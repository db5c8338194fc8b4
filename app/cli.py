"""Small commands for whoever runs this installation: `flask create-user`, `flask settings`, `flask doctor`."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import with_appcontext

from app import env_example
from app.config import Settings, setting_fields
from app.exceptions import AppException
from app.extensions import settings
from app.schemas.auth import PASSWORD_MAX, PASSWORD_MIN
from app.services import doctor, people


def init_app(app: Flask, settings: Settings) -> None:  # noqa: ARG001 - every subsystem has this shape
    """Add the commands to `flask`."""
    for command in (create_user, show_settings, examine):
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
