"""RQ functions of credentials."""

from __future__ import annotations

import uuid

from app.exceptions import PlatformAPIError
from app.logging_config import get_logger
from app.services import credentials
from jobs.runtime import app

logger = get_logger(__name__)


def refresh_credential(credential_id: str, fence: int) -> None:
    """Renew one grant ahead of its expiry. Trouble is written down by the service and tried again."""
    with app().app_context():
        try:
            credentials.refresh(uuid.UUID(credential_id), fence)
        except PlatformAPIError as error:
            logger.warning("a grant could not be renewed: %s", error.message)
