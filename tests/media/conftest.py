from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import make_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 180x320, 30 frames a second, H.264 and AAC, index first. Not to be changed."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
