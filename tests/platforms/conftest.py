"""The sandbox, reset for each test, and adapters that speak to it over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.platforms.base import Platform
from app.platforms.http import Call
from app.platforms.registry import Registry, setting_specs
from tests.sandbox_server import SandboxServer, Sim, sandbox_thread

PUBLIC_URL = "http://127.0.0.1:8000"
RegistryMaker = Callable[..., Registry]


@pytest.fixture(scope="session")
def sandbox_for_platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_thread(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.fixture
def sim(sandbox_for_platforms: SandboxServer) -> Sim:
    server = sandbox_for_platforms.sim
    server.reset()
    server.settings(processing_seconds=0.0, moderation_seconds=0.0, auto_consent="approve")
    return server


@pytest.fixture
def calls() -> list[Call]:
    return []


@pytest.fixture
def make_registry(sim: Sim, calls: list[Call]) -> RegistryMaker:
    """Return a maker of registries that lead to the sandbox; settings by name override."""

    def make(**changes: str) -> Registry:
        environment = {key: value for values in sim.environment().values() for key, value in values.items()}
        values = environment | changes
        by_platform: dict[str, dict[str, Any]] = {
            name: {spec.name: values.get(f"{name}_{spec.name}".upper(), "") for spec in specs}
            for name, specs in setting_specs().items()
        }
        return Registry(by_platform, public_url=PUBLIC_URL, on_call=calls.append)

    return make


@pytest.fixture
def tiktok(make_registry: RegistryMaker) -> Platform:
    return make_registry().get("tiktok")


@pytest.fixture
def youtube(make_registry: RegistryMaker) -> Platform:
    """An adapter that cuts files into the smallest chunks YouTube takes."""
    return make_registry(YOUTUBE_CHUNK_SIZE="262144").get("youtube")
