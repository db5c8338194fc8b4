"""Stand-ins for the platforms' servers, spoken to over real HTTP. For development and tests only.

One process, many threads; its state is in memory and in one folder, which it locks. Each platform is a
module in `sandbox/platforms` with a `LABEL` and a Flask `blueprint`, found by looking into that folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from flask import Flask

from sandbox import control, feed, platforms, recorder, webhooks
from sandbox.state import Sandbox


def create_sandbox(*, state_dir: Path, speed: float = 1.0) -> Flask:
    """Return the app, with whatever an earlier process left in `state_dir`.

    `speed` divides the platforms' processing, moderation and late-rejection times. Raises RuntimeError if
    another process uses the folder.
    """
    modules = find_platforms()
    sandbox = Sandbox(state_dir, platforms=list(modules), speed=speed)
    app = Flask(__name__)
    app.extensions["sandbox"], app.extensions["sandbox.faults"] = sandbox, sandbox.faults
    recorder.init_app(app, sandbox.recorder)
    for module in modules.values():
        app.register_blueprint(module.blueprint)
    app.register_blueprint(control.blueprint)
    app.register_blueprint(feed.blueprint)
    webhooks.init_app(app, sandbox, modules)
    return app


def find_platforms() -> dict[str, ModuleType]:
    """Return the modules of `sandbox/platforms` by platform name."""
    found = {module.name for module in pkgutil.iter_modules(platforms.__path__)}
    names = sorted(name for name in found if not name.startswith("_"))
    return {name: importlib.import_module(f"sandbox.platforms.{name}") for name in names}
