"""RQ functions of credentials."""

from __future__ import annotations

import uuid

from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.services import grant_ends
from jobs.runtime import app

logger = get_logger(__name__)


def refresh_credential(credential_id: str, fence: int) -> None:
    """Renew one grant ahead of its expiry, or tell that it ends. The service writes trouble down."""
    with app().app_context():
        try:
            grant_ends.attend(uuid.UUID(credential_id), fence)
        except PlatformAPIError as error:
            logger.warning("a grant could not be renewed: %s", error.message)
