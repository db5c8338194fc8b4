"""RQ functions of channels."""

from __future__ import annotations

import uuid

from app.services import posting
from jobs.runtime import app


def ask_posting_options(channel_id: str) -> None:
    """Ask what a channel that was just connected may post. Best effort: whoever wants to know can ask."""
    with app().app_context():
        posting.ask_again(uuid.UUID(channel_id))
