from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import make_clip


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A two-second video, H.264 and AAC in MP4, index first."""
    path: Path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
    return path.read_bytes()
