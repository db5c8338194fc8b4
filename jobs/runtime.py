"""The app of this process. Workers make it once, before they fork, so that horses inherit it."""

from __future__ import annotations

from functools import cache

from flask import Flask

from app import crash_points, create_app

_given: list[Flask] = []


def use(app: Flask) -> None:
    """Make `app` the one that jobs of this process run in."""
    _given[:] = [app]
    crash_points.arm(app.extensions["settings"])


def app() -> Flask:
    """Return the process's app, made from the environment unless one was given."""
    return _given[0] if _given else _made()


@cache
def _made() -> Flask:
    made = create_app()
    crash_points.arm(made.extensions["settings"])
    return made
