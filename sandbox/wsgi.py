"""For gunicorn: `gunicorn sandbox.wsgi:app --worker-class gthread --workers 1 --threads 64`.

Reads SANDBOX_STATE_DIR (default `var/sandbox`), SANDBOX_SPEED (default 1; see create_sandbox) and
SANDBOX_MEASURE_MEDIA (`true`: refuse videos the real platforms refuse, as measured; else as it was set).
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import create_sandbox

app = create_sandbox(
    state_dir=Path(os.environ.get("SANDBOX_STATE_DIR", "var/sandbox")),
    speed=float(os.environ.get("SANDBOX_SPEED", "1")),
)
if os.environ.get("SANDBOX_MEASURE_MEDIA") == "true":
    app.extensions["sandbox"].change_settings({"measure_media": True})
