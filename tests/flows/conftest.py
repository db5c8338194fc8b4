"""A rig of real processes for each database, and a sandbox that can be told to misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import FACTOR, Rig
from tests.sandbox_server import SandboxProcess


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), speed=FACTOR) as server:
        server.sim.settings(rate_limits=False)
        yield server


@pytest.fixture
def rig(tmp_path: Path, database_url: str, redis_url: str, sandbox_process: SandboxProcess) -> Iterator[Rig]:
    """The product on SQLite and on PostgreSQL, nothing started yet; the sandbox counts from zero."""
    sandbox_process.sim.reset(keep=("settings",))
    with Rig(tmp_path / "data", database_url, redis_url, sandbox_process) as made:
        yield made
