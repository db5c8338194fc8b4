"""A video that lies in a bucket goes out in chunks read by range, byte for byte; no process holds the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import instance
from tests.inline import work_on
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread

CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(400_000))  # 12.8 MB


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str, redis_url: str, s3_settings: dict[str, str]) -> Iterator[Rig]:
    bucket = {"STORAGE_BACKEND": "s3", **{name.upper(): value for name, value in s3_settings.items()}}
    with sandbox_thread(tmp_path / "sandbox") as server:
        server.sim.settings(rate_limits=False)
        rig = Rig(tmp_path / "data", sqlite_url, redis_url, server, extra=bucket)
        with rig as made, made.app.app_context():
            yield made


def test_a_video_in_a_bucket_is_published_as_it_is(rig: Rig) -> None:
    assert instance.check() is None
    target = rig.target(caption="from a bucket", content=CONTENT)

    while rig.read(target).state not in ("published", "failed", "unknown"):
        work_on(rig, target)

    (post,) = rig.sandbox.sim.posts(caption="from a bucket")
    assert post["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert not (rig.folder / "files").exists()
    assert not (rig.folder / "instance.json").exists()  # whose database it is, is known in the bucket, too
