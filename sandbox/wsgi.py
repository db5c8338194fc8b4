"""For gunicorn: `gunicorn sandbox.wsgi:app --worker-class gthread --workers 1 --threads 64`.

Reads SANDBOX_STATE_DIR (default `var/sandbox`) and SANDBOX_SPEED (default 1; see create_sandbox).
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import create_sandbox

app = create_sandbox(
    state_dir=Path(os.environ.get("SANDBOX_STATE_DIR", "var/sandbox")),
    speed=float(os.environ.get("SANDBOX_SPEED", "1")),
)
