"""Every kind of background work in one list: which rows, what runs them, and what ends one that kills its workers.

The dispatcher (services/dispatch) walks it. Targets are not in it: they are claimed by a query of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.models import Chore, Credential, Delivery, Mail, Step, Upload, Video, Webhook
from app.models.base import WorkMixin
from app.queue import (
    DELIVER_EVENT,
    DO_CHORE,
    EXPIRE_UPLOAD,
    FAN_OUT_EVENTS,
    MEASURE_VIDEO,
    REFRESH_CREDENTIAL,
    RUN_STEP,
    SEND_MAIL,
    Task,
)
from app.services import credentials, deliveries, mails, measuring, step_ends, timetable, uploads

MAX_DEATHS = 3  # workers that died over a row before it is given up


@dataclass(frozen=True)
class Work:
    """A kind of background work: its table, what runs it, what ends a row after `max_deaths`, and which rows."""

    model: type[WorkMixin]
    task: Task
    give_up: Callable[[uuid.UUID, int], None]
    where: tuple[Any, ...] = ()
    max_deaths: int = MAX_DEATHS


WORK: tuple[Work, ...] = (
    Work(Video, MEASURE_VIDEO, measuring.give_up),
    Work(Upload, EXPIRE_UPLOAD, uploads.give_up),
    Work(Credential, REFRESH_CREDENTIAL, credentials.give_up),
    Work(Step, RUN_STEP, step_ends.give_up),
    Work(Mail, SEND_MAIL, mails.give_up),
    Work(Webhook, FAN_OUT_EVENTS, deliveries.give_up_fan_out),
    Work(Delivery, DELIVER_EVENT, deliveries.give_up),
    Work(Chore, DO_CHORE, timetable.give_up),
)
