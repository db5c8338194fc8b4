from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.copies import Files
from tests.fuzz.world import Installation, installation
from tests.sandbox_server import sandbox_thread


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, redis_server_url: str
) -> Iterator[Installation]:
    """An installation whose world can be had new again and again."""
    folder = tmp_path_factory.mktemp("fuzz")
    with (
        sandbox_thread(tmp_path_factory.mktemp("sandbox")) as sandbox,
        installation(
            folder, copies=Files(folder, migrated_sqlite), redis_url=redis_server_url, sandbox=sandbox
        ) as found,
    ):
        yield found
