from __future__ import annotations

import os
import uuid
from dataclasses import replace

from flask import Flask

from app.extensions import settings
from app.services import work_folders
from app.storage.private_folder import private_folder


def test_a_conversion_may_use_what_others_leave_of_the_budget(context: Flask) -> None:
    context.extensions["settings"] = replace(settings(), work_budget_bytes=1000)
    other = settings().data_dir / "tmp" / f"{work_folders.PREFIX}{uuid.uuid4()}.1"
    other.mkdir(parents=True)
    (other / "rendition.mp4").write_bytes(b"x" * 700)

    with private_folder(settings().data_dir / "tmp", "download-") as folder:
        (folder / "original.mp4").write_bytes(b"x" * 100)
        room = work_folders.room()

    assert (room.free, room.most) == (settings().min_free_bytes, 200)
    assert work_folders.room().most == 300


def test_a_conversion_begins_by_clearing_away_what_killed_workers_left(context: Flask) -> None:
    left = settings().data_dir / "tmp" / "download-of-the-dead"
    left.mkdir(parents=True)
    (left / "original.mp4").write_bytes(b"x")
    os.utime(left, (0, 0))

    with work_folders.private(uuid.uuid4(), 1):
        assert not left.exists()
