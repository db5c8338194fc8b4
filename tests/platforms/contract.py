"""What every platform promises is tried over its CASE: which platforms there are, of which kind, and one to try."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.platforms import registry
from app.platforms.base import (
    Handle,
    LocateResult,
    Platform,
    PublishRequest,
    Staged,
    Wait,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

CASES: list[Case] = [
    importlib.import_module(f"tests.platforms.test_{name}").CASE for name in registry.names()
]
UNREADABLE = [
    (case, operation, action)
    for case in CASES
    for operation in ("begin", "ask")
    for action in ("malformed", "truncate", "drop_after", "drop_before")
    if (operation, action) != ("begin", "truncate") or case.begins_in_body
]
MOST_TURNS = 30  # a stage that never gets on would go on for ever
DEADLINE = 3.0  # seconds; a stand-in that drops a long body may leave the socket half open till then


@dataclass
class Stage:
    """A platform, a request, and what was saved on the way."""

    case: Case
    platform: Platform
    sim: Sim
    request: PublishRequest
    handles: list[dict[str, Any]]

    def stage(self, handle: Handle | None = None, **changes: Any) -> Staged | Wait:
        return self.platform.stage(replace(self.request, **changes), handle, self.save)

    def save(self, handle: Handle) -> None:
        self.handles.append(dict(handle))

    @property
    def handle(self) -> dict[str, Any]:
        return self.handles[-1]

    def commit(self, handle: Handle | None = None) -> Any:
        return self.platform.prepare_commit(self.request, handle or self.handle).send(DEADLINE)

    def locate(self) -> LocateResult:
        return self.platform.locate(self.request, self.handle)

    def count(self) -> int:
        return self.sim.count(platform=self.case.name)

    def arrived(self) -> str:
        (post,) = self.sim.posts(platform=self.case.name)
        return str(post["sha256"])

    @property
    def sha256(self) -> str:
        source = self.request.source
        assert isinstance(source, MemorySource)
        return hashlib.sha256(source.data).hexdigest()


def where(applies: Callable[[Case], object]) -> pytest.MarkDecorator:
    """Run a test over the platforms of one kind only; there is at least one."""
    return over([case for case in CASES if applies(case)])


def over(cases: Sequence[Case]) -> pytest.MarkDecorator:
    assert cases, "a contract no platform is held to is none"
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def make_stage(case: Case, make_registry: RegistryMaker, sim: Sim) -> Stage:
    """Return the platform with a small video to post and a token that may do everything."""
    token = sim.token(platform=case.name, scopes=sorted(case.scopes))
    request = make_request(case, token, some_bytes(30_000))
    return Stage(case, make_registry().get(case.name), sim, request, [])
