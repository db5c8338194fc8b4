"""What gunicorn serves and `flask` commands run in. Here the app meets the jobs, which it never imports."""

from __future__ import annotations

from app import create_app
from jobs import commands, runtime

app = create_app()
runtime.use(app)
commands.register(app)
