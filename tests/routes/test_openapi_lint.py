"""The published document as Redocly's linter judges it, by its recommended rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from flask import Flask

from app.routes import openapi
from tests.servers import ROOT
from tests.skips import skip_or_fail

FOLDER = ROOT / "tests" / "redocly"
LINTER = FOLDER / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def test_a_linter_of_others_finds_nothing_wrong(app: Flask, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not LINTER.exists():
        skip_or_fail("no node, or no `npm ci` in tests/redocly: the OpenAPI document is not linted")
    with app.app_context():
        (tmp_path / "openapi.json").write_text(json.dumps(openapi.document(app)))

    command = [
        node,
        str(LINTER),
        "lint",
        "openapi.json",
        "--config",
        str(FOLDER / "redocly.yaml"),
        "--format=json",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | QUIET, capture_output=True, text=True, timeout=60
    )

    assert json.loads(done.stdout)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, done.stdout
    assert done.returncode == 0, done.stderr
