"""Where a video fits."""

from __future__ import annotations

import uuid
from typing import Any

from app.domain.wish import Wish
from app.routes.base import Blueprint, principal
from app.schemas.fits import FitQuerySchema, FitReportSchema
from app.services import fit_report

blp = Blueprint("fits", __name__, description="Videos: sent once, used by any number of posts.")


@blp.get("/videos/<uuid:video_id>/fit")
@blp.requires(role="viewer", scope="read")
@blp.arguments(FitQuerySchema, location="query")
@blp.response(200, FitReportSchema)
@blp.alt_response(409, description="The video is not measured yet, was rejected, or its file is gone.")
def get_video_fit(query: dict[str, Any], video_id: uuid.UUID) -> dict[str, Any]:
    """Say for each channel whether a video fits as it is, what would be changed, or why it cannot go there.

    `shape`, `start` and `end` are what a post's `fit` may say. Without channels every platform is answered for.
    """
    wish = Wish.from_dict(query)
    chosen = {name: query[name] for name in ("channel_id", "platform") if name in query}
    return {"data": fit_report.report(principal(), video_id, wish=wish, **chosen)}
