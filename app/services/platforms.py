"""The app's registry of platforms, wired to its settings, metrics and log."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from app.config import Settings
from app.platforms.registry import Registry


def init_app(app: Flask, settings: Settings) -> None:
    """Build every adapter from the settings."""
    raise NotImplementedError


def registry() -> Registry:
    """Return the app's platforms."""
    return cast(Registry, current_app.extensions["platforms"])
