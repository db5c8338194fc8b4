"""The baseline of uploads: a bare view that writes what comes to a file, as durably as we do, and nothing else.

gunicorn -c gunicorn.conf.py benchmarks.copying:app; the file is COPY_TO and is removed at the end of each request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BLOCK = 256 * 1024


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = Path(os.environ["COPY_TO"])
    with path.open("wb", buffering=0) as file:
        while piece := environ["wsgi.input"].read(BLOCK):
            file.write(piece)
        os.fsync(file.fileno())
    path.unlink()
    start_response("204 No Content", [])
    return []
