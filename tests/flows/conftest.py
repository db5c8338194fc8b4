"""A stack of real processes for each database, and a sandbox that can be told to misbehave.

Starting processes is what costs; so one stack serves a whole module, and it is one `flask workers`, which forks all
the others and starts again what dies. The dispatcher runs twice, for it dies in some tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database import migrate
from tests.rig import FACTOR, Rig
from tests.sandbox_server import SandboxProcess
from tests.servers import Postgres

STACK = "workers"


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), speed=FACTOR) as server:
        server.sim.settings(rate_limits=False)
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses the stack on both databases, or on those the module names in DATABASES."""
    if "stack" in metafunc.fixturenames:
        databases = getattr(metafunc.module, "DATABASES", ("sqlite", "postgresql"))
        metafunc.parametrize("stack", databases, indirect=True, scope="module")


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server_url: str,
    sandbox_process: SandboxProcess,
) -> Iterator[Rig]:
    """Two dispatchers and all workers, running on SQLite or on PostgreSQL."""
    folder = tmp_path_factory.mktemp("stack")
    sandbox_process.sim.reset(keep=("settings",))
    extra = {"WORKERS": "dispatcher=2,stage=1,commit=1"}

    def run(url: str) -> Iterator[Rig]:
        with Rig(folder / "data", url, redis_server_url, sandbox_process, extra=extra) as rig:
            rig.flush_redis()
            rig.start(STACK)
            yield rig

    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'scheduler.db'}"
        migrate(url, data_dir=folder)
        yield from run(url)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with server.database(template=request.getfixturevalue("migrated_postgres")) as url:
            yield from run(url)


@pytest.fixture
def rig(stack: Rig) -> Iterator[Rig]:
    """The running stack, whole again: what the last test killed is started."""
    if stack.processes[STACK].poll() is not None:
        stack.start(STACK)
    yield stack
    stack.sandbox.sim.clear_faults()
