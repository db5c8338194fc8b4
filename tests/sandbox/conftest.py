from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.client import TikTok
from tests.sandbox_server import SandboxServer, Sim, sandbox_thread


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def sim(server: SandboxServer) -> Sim:
    """The control API of a sandbox in its first state, with no limits of calls a minute."""
    server.sim.reset()
    server.sim.settings(rate_limits=False)
    return server.sim


@pytest.fixture
def tiktok(server: SandboxServer, sim: Sim) -> TikTok:
    """An app with a token for sandbox_creator and every scope but video.upload."""
    return TikTok(server.base_url, sim.token()["access_token"])
