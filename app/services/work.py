"""Every kind of background work in one list: which rows, what runs them, and what ends one that kills its workers.

The dispatcher (services/dispatch) walks it. Targets are not in it: they are claimed by a query of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.models import Chore, Credential, Delivery, Mail, Rendition, Step, Upload, Video, Webhook
from app.models.base import WorkMixin
from app.queue import (
    DELIVER_EVENT,
    DO_CHORE,
    EXPIRE_UPLOAD,
    FAN_OUT_EVENTS,
    IMPORT_UPLOAD,
    MAKE_RENDITION,
    MEASURE_VIDEO,
    REFRESH_CREDENTIAL,
    RUN_STEP,
    SEND_MAIL,
    Task,
)
from app.services import (
    conversion_ends,
    credentials,
    deliveries,
    mails,
    measuring,
    step_ends,
    timetable,
    uploads,
    uploads_fetch,
)


@dataclass(frozen=True)
class Work:
    """A kind of background work: its table, what runs it, what ends a row that kills its workers, which rows.

    `max_deaths` None: after as many workers as usual.
    """

    model: type[WorkMixin]
    task: Task
    give_up: Callable[[uuid.UUID, int], None]
    where: tuple[Any, ...] = ()
    max_deaths: int | None = None


WORK: tuple[Work, ...] = (
    Work(Video, MEASURE_VIDEO, measuring.give_up),
    Work(Upload, EXPIRE_UPLOAD, uploads.give_up, (Upload.state != "importing",)),
    Work(Credential, REFRESH_CREDENTIAL, credentials.give_up),
    Work(Step, RUN_STEP, step_ends.give_up),
    Work(Mail, SEND_MAIL, mails.give_up),
    Work(Webhook, FAN_OUT_EVENTS, deliveries.give_up_fan_out),
    Work(Delivery, DELIVER_EVENT, deliveries.give_up),
    Work(Rendition, MAKE_RENDITION, conversion_ends.give_up, max_deaths=conversion_ends.MAX_DEATHS),
    Work(Chore, DO_CHORE, timetable.give_up),
    Work(Upload, IMPORT_UPLOAD, uploads_fetch.give_up, (Upload.state == "importing",)),
)
