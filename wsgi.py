"""What gunicorn serves and `flask` commands run in. Here the app meets the jobs, which it never imports."""

from __future__ import annotations

from app import create_app
from app.config import ConfigError
from jobs import commands, runtime

try:
    app = create_app()
except ConfigError as faults:  # the list is the answer; a stack trace would hide it
    raise SystemExit(str(faults)) from None
runtime.use(app)
commands.register(app)
