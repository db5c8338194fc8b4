"""What gunicorn serves and `flask` commands run in. Here the app meets the jobs, which it never imports.

Nothing that is made at the start is garbage, and looking for some would take a quarter of the start's processor time.
What was made is then left out of every later search, which also leaves its pages shared with forked workers.
"""

from __future__ import annotations

import gc

gc.disable()  # before the imports, which are most of it

from app import create_app  # noqa: E402
from app.config import ConfigError  # noqa: E402
from jobs import commands, runtime  # noqa: E402

try:
    app = create_app()
except ConfigError as faults:  # the list is the answer; a stack trace would hide it
    raise SystemExit(str(faults)) from None
runtime.use(app)
commands.register(app)
gc.freeze()
gc.enable()
