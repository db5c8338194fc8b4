"""The application, as a table of contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application. `settings` None: from the environment. Raises ConfigError with every fault.

    Imports happen here, so that the leaves (config, clock, exceptions) can be used without all of it.
    """
    from flask import Flask

    from app import (
        cli,
        config,
        error_handlers,
        extensions,
        logging_config,
        monitoring,
        queue,
        routes,
        storage,
    )
    from app.platforms import registry
    from app.services import metrics, platforms

    settings = settings or config.load(platforms=registry.setting_specs())
    app = Flask(__name__, static_folder=None)
    logging_config.init_app(app, settings)
    monitoring.init_app(app, settings)
    extensions.init_app(app, settings)
    queue.init_app(app, settings)
    storage.init_app(app, settings)
    platforms.init_app(app, settings)
    metrics.init_app(app, settings)
    error_handlers.init_app(app, settings)
    routes.init_app(app, settings)
    cli.init_app(app, settings)
    return app
