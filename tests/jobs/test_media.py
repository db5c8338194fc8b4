from __future__ import annotations

import io
from pathlib import Path

from flask import Flask

from app import clock
from app.extensions import db
from app.models import Upload, Video
from app.services import dispatch
from app.storage import get_storage
from jobs import media, runtime
from tests.clips import make_clip
from tests.factories import make_person, make_video


def test_a_claimed_video_is_measured_by_its_job(app: Flask, tmp_path: Path) -> None:
    runtime.use(app)
    data = make_clip(tmp_path / "clip.mp4", seconds=1).read_bytes()
    with app.app_context():
        video = make_video(make_person().workspace_id, state="processing", facts=None, next_at=clock.now())
        get_storage().put_stream(video.key, io.BytesIO(data), max_bytes=len(data))
        video_id = video.id
        ((_, arguments),) = dispatch.claim(dispatch.WORK[0], clock.now())

    media.measure_video(*arguments)

    with app.app_context():
        assert db.session.get_one(Video, video_id).state == "ready"


def test_an_abandoned_upload_is_removed_by_its_job(app: Flask) -> None:
    runtime.use(app)
    with app.app_context():
        key = "videos/00000000-0000-0000-0000-000000000001/original.mp4"
        get_storage().put_stream(key, io.BytesIO(b"x"), max_bytes=1)
        due = clock.now()
        columns = {"kind": "video", "backend": "folder", "key": key, "expires_at": due, "next_at": due}
        db.session.add(Upload(workspace_id=make_person().workspace_id, **columns))
        db.session.commit()
        ((_, arguments),) = dispatch.claim(dispatch.WORK[1], due)

    media.expire_upload(*arguments)

    with app.app_context():
        assert not get_storage().exists(key)
        assert db.session.query(Upload).count() == 0
