"""What every new upload in pieces is: its row, the name of its file, and how long it may take."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.domain.file_name import clean_filename
from app.domain.principal import Principal
from app.exceptions import PayloadTooLargeError, ValidationError
from app.extensions import settings
from app.media import EXTENSIONS
from app.models import Upload
from app.models.base import new_id
from app.storage import get_storage, new_key


def check_length(total_bytes: int, *, field: str = "Upload-Length") -> None:
    """Raise PayloadTooLargeError or ValidationError unless a file may have this length."""
    limit = settings().max_upload_bytes
    if total_bytes > limit:
        raise PayloadTooLargeError(
            f"The file has {total_bytes} bytes; at most {limit} are allowed. Send a smaller one.",
            {"found": total_bytes, "allowed": limit},
        )
    if total_bytes < 1:
        raise ValidationError(details={field: [f"Must be at least 1 byte, found {total_bytes}."]})


def new_row(principal: Principal, *, kind: str, filename: str, **columns: Any) -> Upload:
    """Return an upload that is not stored yet, whose file gets a name of ours; `filename` is cleaned here."""
    expires_at, filename = expiry(), clean_filename(filename)
    return Upload(
        id=new_id(),
        workspace_id=principal.workspace_id,
        created_by=principal.user_id,
        kind=kind,
        backend=get_storage().backend,
        key=new_key("videos", new_id(), f"original.{_ending(filename)}"),
        filename=filename,
        expires_at=expires_at,
        **({"next_at": expires_at, "parts": {}, "source": {}, "offset_bytes": 0} | columns),
    )


def expiry() -> datetime:
    """Return until when an upload of which something came just now is kept."""
    return clock.now() + timedelta(seconds=settings().upload_idle_seconds)


def _ending(filename: str) -> str:
    """Return the ending of the file's own name if it is one we know; what the file is, its bytes say later."""
    ending = filename.rpartition(".")[2].lower()
    return ending if ending in EXTENSIONS.values() else "mp4"
