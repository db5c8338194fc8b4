from __future__ import annotations

import uuid
from dataclasses import replace

from flask import Flask

from app.extensions import settings
from app.services import work_folders


def test_a_conversion_may_use_what_others_leave_of_the_budget(context: Flask) -> None:
    context.extensions["settings"] = replace(settings(), work_budget_bytes=1000)
    other = settings().data_dir / "tmp" / f"{work_folders.PREFIX}{uuid.uuid4()}.1"
    other.mkdir(parents=True)
    (other / "rendition.mp4").write_bytes(b"x" * 700)

    room = work_folders.room()

    assert (room.free, room.most) == (settings().min_free_bytes, 300)
