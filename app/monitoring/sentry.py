"""Error reports to Sentry, without secrets.

The SDK's defaults let 9 of 12 planted secrets through (local variables, breadcrumbs, query strings). Here
nothing is collected that is not needed, and every event, transaction and breadcrumb is walked before it goes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import sentry_sdk
from loguru import logger as _loguru
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.loguru import LoguruIntegration
from sentry_sdk.integrations.rq import RqIntegration
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

from app.config import Settings
from app.logging_config import current_context, get_logger
from app.redaction import REDACTED, is_sensitive, redact, redact_path, redact_value

if TYPE_CHECKING:
    from loguru import Message
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint

logger = get_logger(__name__)

DENYLIST = [
    *DEFAULT_DENYLIST,
    *("access_token", "refresh_token", "id_token", "upload_token", "client_secret", "code", "code_verifier"),
    *("jwt", "dsn", "signature", "x-amz-signature", "x-csrf-token", "proxy_authorization", "encryption_keys"),
    *("secret_key", "jwt_secret_key", "metrics_token", "database_url", "redis_url", "email"),
]
_URLS = frozenset({"url", "http.url", "url.full"})
_breadcrumb_sink: int | None = None


def init_sentry(settings: Settings, *, transport: type[Transport] | None = None) -> None:
    """Report errors and traces to SENTRY_DSN; nothing happens without one. `transport` is for tests."""
    global _breadcrumb_sink
    if not settings.sentry_dsn:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=settings.app_version,
        environment=settings.app_env,
        traces_sample_rate=settings.sentry_traces_sample_rate,
        include_local_variables=False,
        max_request_body_size="never",
        event_scrubber=EventScrubber(denylist=list(DENYLIST), recursive=True),
        before_send=_clean_event,
        before_send_transaction=_clean_event,
        before_breadcrumb=_clean_breadcrumb,
        integrations=_integrations(),
        transport=transport,
    )
    if _breadcrumb_sink is None:
        _breadcrumb_sink = _loguru.add(_leave_breadcrumb, level="INFO", format=lambda _: "", diagnose=False)


def _integrations() -> list[Integration]:
    # Every log line passes through loguru, whose integration would format exceptions with the values of
    # variables: both are silenced and the lines come as breadcrumbs from _leave_breadcrumb.
    return [
        FlaskIntegration(),
        RqIntegration(),
        SqlalchemyIntegration(),
        LoggingIntegration(level=None, event_level=None, sentry_logs_level=None),
        LoguruIntegration(level=None, event_level=None, sentry_logs_level=None),
    ]


def capture_error(error: BaseException) -> None:
    """Report an error that is caught so that a process may go on: nobody else tells of it."""
    sentry_sdk.capture_exception(error)


def capture_killed_horse(*, task_name: str, job_id: str, exit_status: int) -> None:
    """Report a job whose process was killed (out of memory, SIGKILL): it could not report itself.

    `exit_status` is what waitpid returned. Called by the worker's work_horse_killed_handler or the reaper.
    """
    signal_number = os.WTERMSIG(exit_status) if os.WIFSIGNALED(exit_status) else None
    facts = {"task_name": task_name, "job_id": job_id, "signal": signal_number}
    logger.error("A worker process was killed in the middle of a job", extra=facts)
    with sentry_sdk.new_scope() as scope:
        scope.set_tags(facts)
        scope.fingerprint = ["killed-horse", task_name]
        sentry_sdk.capture_message(f"Worker process killed while running {task_name}", level="error")
    sentry_sdk.flush(timeout=2)


def _clean_event(event: Event, _hint: Hint) -> Event | None:
    job: Any = event.get("extra", {}).get("rq-job")
    if isinstance(job, dict):
        job.pop("description", None)  # RQ writes the arguments into it
    cleaned: Event = _walk(event)
    tags: Any = cleaned.setdefault("tags", {})
    tags.update(current_context())
    return cleaned


def _clean_breadcrumb(crumb: Breadcrumb, _hint: BreadcrumbHint) -> Breadcrumb | None:
    cleaned: Breadcrumb = _walk(crumb)
    return cleaned


def _walk(value: Any, name: str = "") -> Any:
    if name and is_sensitive(name) and value:
        return REDACTED
    if isinstance(value, dict):
        return {key: _walk(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item) for item in value]
    if isinstance(value, str):
        return redact(redact_path(value) if name in _URLS else value)
    return value if isinstance(value, bytes) else redact_value(value)


def _leave_breadcrumb(message: Message) -> None:
    record = message.record
    sentry_sdk.add_breadcrumb(
        category=record["extra"].get("logger"),
        message=record["message"],
        level=record["level"].name.lower(),
        data=dict(record["extra"].get("fields", {})),
    )
