"""The systemd unit ends jobs warmly and starts commands that exist."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess

import pytest

from app.config import setting_fields
from tests.servers import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNIT = (FOLDER / "video-scheduler@.service").read_text()
RUN = FOLDER / "run"


def value(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_only_the_parent_is_told_to_stop() -> None:
    assert value("KillMode") == ["mixed"]
    assert int(value("TimeoutStopSec")[0]) > 30  # gunicorn's own patience


def test_it_reads_as_a_unit_file() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]

    parser.read_string(UNIT)

    assert parser.sections() == ["Unit", "Service", "Install"]


def test_systemd_itself_accepts_it() -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd on this machine")

    done = subprocess.run(
        [program, "verify", str(FOLDER / "video-scheduler@.service")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Unknown" not in done.stderr


def test_it_sets_only_settings_that_exist() -> None:
    known = {field.name.upper() for field in setting_fields()} | {"PROMETHEUS_MULTIPROC_DIR", "FLASK_APP"}

    names = {entry.partition("=")[0] for line in value("Environment") for entry in line.split()}

    assert names <= known


def test_it_runs_what_is_there() -> None:
    [command] = value("ExecStart")

    assert command == "/opt/video-scheduler/deploy/systemd/run %i"
    assert os.access(RUN, os.X_OK)


def test_another_name_is_refused() -> None:
    done = subprocess.run([RUN, "database"], capture_output=True, text=True, check=False)

    assert (done.returncode, "no such process: database" in done.stderr) == (64, True)


@pytest.mark.parametrize("command", ["workers", "dispatcher"])
def test_the_commands_it_runs_exist(command: str) -> None:
    script = (ROOT / "jobs" / "commands.py").read_text()

    assert f'@click.command("{command}")' in script
    assert f"--app wsgi {command}" in RUN.read_text()
