"""Importing a video from an address: fetched by a job, on from where it stopped, whoever died meanwhile.

The video is there from the beginning, as `processing`, so that posts can wait for it.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from app import clock
from app.domain.file_name import clean_filename
from app.domain.principal import Principal
from app.extensions import db, key_ring
from app.models import Upload, Video
from app.queue import wake_dispatcher
from app.services import outgoing, uploads_ending, uploads_shown
from app.services.idempotency import Remember, forget
from app.services.uploads_new import new_row
from app.services.uploads_shown import UploadView

LIFE = timedelta(hours=24)  # an import that takes longer is ended


def create(principal: Principal, *, url: str, remember: Remember = forget, **texts: str) -> UploadView:
    """Begin an import. Raises ValidationError unless this is an address of a public host. Commits."""
    outgoing.check_url(url)
    row = begin(principal, url=url, **texts)
    made = uploads_shown.view(row)
    remember(made)
    db.session.commit()
    wake_dispatcher()
    return made


def begin(
    principal: Principal, *, url: str, filename: str = "", title: str = "", description: str = ""
) -> Upload:
    """Make the upload and its video, to be fetched once the caller has committed. `url` was checked before."""
    parts = urlsplit(url)
    name = clean_filename(filename) or unquote(parts.path.rpartition("/")[2])
    now = clock.now()
    row = new_row(
        principal, kind="url", filename=name, state="importing", title=title, description=description,
        source={"host": parts.hostname}, next_at=now,
    )  # fmt: skip
    row.expires_at = now + LIFE
    row.url_encrypted = key_ring().encrypt(url, context=sealed_for(row.id))
    row.video_id = uploads_ending.video_id_of(row.key)
    video = Video(
        id=row.video_id, workspace_id=row.workspace_id, created_by=row.created_by, title=title,
        description=description, filename=row.filename, backend=row.backend, key=row.key, size_bytes=0, sha256="",
    )  # fmt: skip
    db.session.add(video)
    db.session.flush()
    db.session.add(row)
    db.session.flush()
    return row


def sealed_for(upload_id: uuid.UUID) -> str:
    """Return what an import's address is sealed to."""
    return f"uploads:url:{upload_id}"
