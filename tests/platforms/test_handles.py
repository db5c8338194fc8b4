"""When an upload is replaced by a new one: as soon as no commit would be made with it, and never before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.platforms import _facebook_upload, _tiktok_upload, _youtube_upload
from app.platforms._instagram_container import Container
from app.platforms.base import HANDLE_MARGIN


def uploads(began_at: float) -> dict[str, Any]:
    """Return an upload of each platform whose handles end."""
    return {
        "facebook": _facebook_upload.Upload("reel", "1", 9, began_at),
        "instagram": Container("1", 9, began_at),
        "tiktok": _tiktok_upload.Upload("p", "u", 9, 9, 1, began_at),
        "youtube": _youtube_upload.Upload("s", 9, "", began_at, 9),
    }


@pytest.mark.parametrize("name", uploads(0.0))
def test_an_upload_that_ends_moments_after_the_due_time_is_replaced(name: str) -> None:
    upload = uploads((clock.now() - timedelta(minutes=10)).timestamp())[name]

    assert upload.should_be_renewed(upload.expires_at - HANDLE_MARGIN / 2)
    assert not upload.should_be_renewed(upload.expires_at - HANDLE_MARGIN)


@pytest.mark.parametrize("name", uploads(0.0))
def test_a_late_post_does_not_go_out_with_an_upload_about_to_end(name: str) -> None:
    made, now = uploads(clock.now().timestamp())[name], clock.now()
    life = made.expires_at - now

    upload = uploads((now - life + HANDLE_MARGIN / 2).timestamp())[name]

    assert upload.should_be_renewed(now - timedelta(hours=1))
