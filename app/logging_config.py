"""Log lines: readable ones in development, JSON in production, to stdout, without secrets.

    logger = get_logger(__name__)
    logger.info("User registered successfully", extra={"user_id": user.id})
    logger = get_logger_with_context(__name__, user_id="123", request_id="abc")

Everything in the process, the libraries' standard logging included, goes through one loguru sink. Ids bound
with `bind_context` (request_id, user_id, workspace_id, job_id, target_id) stand in every line of the thread.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import uuid6
from flask import Flask, Response, g, request
from loguru import logger as _loguru

from app import clock, redaction
from app.config import Settings
from app.redaction import redact, redact_path, redact_value

if TYPE_CHECKING:
    from loguru import Message, Record

ExcInfo = bool | BaseException | tuple[Any, Any, Any] | None

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # moves, colours or turns text
_QUIET_PATHS = ("/health", "/metrics")  # polled every few seconds by machines
_CHATTY = ("urllib3", "botocore", "boto3", "s3transfer", "werkzeug", "alembic.runtime.plugins")
# What a record carries besides our fields; RQ adds its jobs' arguments, which are nobody's to read.
_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "arguments",
    "kwargs",
}
_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_RESERVED = frozenset({"timestamp", "level", "logger", "message", "exception"})

_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default={})  # noqa: B039 - never mutated


# -- loggers


class Logger:
    """Logs with the standard library's call shapes: `%`-arguments, `extra={...}`, `exc_info=True`.

    Only its own `%`-arguments format a message: braces in it are harmless. Logging never raises.
    """

    def __init__(self, name: str, context: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._bound = dict(context or {})

    def debug(self, message: object, *args: object, **options: Any) -> None:
        _emit("DEBUG", self.name, message, args, self._bound, **options)

    def info(self, message: object, *args: object, **options: Any) -> None:
        _emit("INFO", self.name, message, args, self._bound, **options)

    def warning(self, message: object, *args: object, **options: Any) -> None:
        _emit("WARNING", self.name, message, args, self._bound, **options)

    def error(self, message: object, *args: object, **options: Any) -> None:
        _emit("ERROR", self.name, message, args, self._bound, **options)

    def critical(self, message: object, *args: object, **options: Any) -> None:
        _emit("CRITICAL", self.name, message, args, self._bound, **options)

    def exception(self, message: object, *args: object, **options: Any) -> None:
        """Log an error with the exception being handled."""
        _emit("ERROR", self.name, message, args, self._bound, **({"exc_info": True} | options))


def get_logger(name: str) -> Logger:
    """Return the logger of a module: `get_logger(__name__)`."""
    return Logger(name)


def get_logger_with_context(name: str, **context: Any) -> Logger:
    """Return a logger that writes `context` into each of its lines."""
    return Logger(name, context)


def bind_context(**ids: object) -> None:
    """Write these ids into every further line of this request or job; None takes one out."""
    merged = {**_context.get(), **{name: str(value) for name, value in ids.items() if value is not None}}
    _context.set({name: value for name, value in merged.items() if ids.get(name, value) is not None})


def clear_context() -> None:
    """Forget all bound ids."""
    _context.set({})


def current_context() -> Mapping[str, str]:
    """Return the ids bound to this request or job."""
    return _context.get()


@contextmanager
def log_context(**ids: object) -> Iterator[None]:
    """Bind ids for the length of a block and restore what was bound before."""
    before = _context.get()
    bind_context(**ids)
    try:
        yield
    finally:
        _context.set(before)


def _emit(
    level: str,
    name: str,
    message: object,
    args: tuple[object, ...],
    bound: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None = None,
    exc_info: ExcInfo = None,
    **_standard: Any,  # stack_info, stacklevel: accepted and not needed
) -> None:
    shown = {**_context.get(), **bound, **(extra or {})}
    bound_logger = _loguru.bind(logger=name, fields=shown)
    if exc_info:
        bound_logger = bound_logger.opt(exception=sys.exc_info() if exc_info is True else exc_info)
    bound_logger.log(level, _formatted(message, args))


def _formatted(message: object, args: tuple[object, ...]) -> str:
    text = str(message)
    if not args:
        return text
    try:
        return text % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except (TypeError, ValueError, KeyError):
        return f"{text} {args!r}"


class InterceptHandler(logging.Handler):
    """Hands the standard library's records to the one sink."""

    def emit(self, record: logging.LogRecord) -> None:
        extra = {key: value for key, value in vars(record).items() if key not in _NOT_FIELDS}
        level = record.levelname if record.levelname in _LEVELS else record.levelno
        args = record.args if isinstance(record.args, tuple) else (record.args,)
        bound = _loguru.bind(logger=record.name, fields={**_context.get(), **extra})
        bound.opt(exception=record.exc_info).log(level, _formatted(record.msg, args if record.args else ()))


# -- the sink

_sink = 0  # loguru's id of the handler in use


def configure_logging(settings: Settings) -> None:
    """Send everything to stdout, JSON in production and readable otherwise. Repeatable; needs no Flask.

    Called before RQ or gunicorn start, the root logger's handler keeps them from adding their own.
    """
    redaction.know_secrets(redaction.secrets_of(settings))
    level = "DEBUG" if settings.debug else settings.log_level
    global _sink
    with suppress(ValueError):  # loguru's own default handler, or what an earlier call added
        _loguru.remove(_sink)
    sink = _write_json if settings.is_production else _write_readable
    # The sink writes the exception itself: loguru's own would show the values of variables (diagnose).
    _sink = _loguru.add(
        sink, level=level, format=lambda _record: "", backtrace=False, diagnose=False, colorize=False
    )
    _intercept(level)


def _intercept(level: str) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) in (logging.StreamHandler, InterceptHandler):
            root.removeHandler(handler)
    root.addHandler(InterceptHandler())
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.captureWarnings(capture=True)


def _write_json(message: Message) -> None:
    record = message.record
    line: dict[str, Any] = {
        "timestamp": clock.isoformat(clock.now()),
        "level": record["level"].name,
        "logger": record["extra"].get("logger") or record["name"],
        "message": record["message"],
    }
    for name, value in record["extra"].get("fields", {}).items():
        line[f"{name}_" if name in _RESERVED else name] = value
    if record["exception"]:
        line["exception"] = _exception(record)
    text = _dumps(line)
    # One quick look at the whole line spares most lines a look at each part.
    if text is None or len(text) > redaction.MAX_TEXT or redaction.may_hold_secrets(text):
        text = json.dumps({name: redact_value(value, name=name) for name, value in line.items()})
    _write(text)


def _dumps(line: dict[str, Any]) -> str | None:
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False, default=str)
    except Exception:  # a value that cannot be shown: the careful way deals with it
        return None


def _write_readable(message: Message) -> None:
    record = message.record
    name = record["extra"].get("logger") or record["name"]
    shown = redact_value(record["extra"].get("fields", {}))
    pairs = "".join(f" {key}={value}" for key, value in shown.items())
    text = f"{redact(record['message'])}{pairs}"
    text = _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)  # no line or colour of a stranger's
    _write(f"{clock.now():%Y-%m-%d %H:%M:%S.%f}Z {record['level'].name:<8} {name}: {text}")
    if record["exception"]:
        _write(_exception(record)["traceback"].rstrip())


def _exception(record: Record) -> dict[str, str]:
    failure = record["exception"]
    assert failure is not None
    lines = traceback.format_exception(failure.type, failure.value, failure.traceback)
    text = "".join(redact(line) for line in lines)[-redaction.MAX_TEXT :]  # the end says what happened
    return {"type": getattr(failure.type, "__name__", "None"), "traceback": text}


def _write(line: str) -> None:
    # One write a line: lines of several processes on one pipe do not run into each other.
    with suppress(OSError, ValueError):  # nobody reads stdout any more: loguru would tell stderr, unredacted
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


# -- requests


def init_app(app: Flask, settings: Settings) -> None:
    """Configure logging, give each request its id and write one access line for it."""
    configure_logging(settings)
    app.log_exception = _log_bug  # type: ignore[method-assign]  # Flask's own shows signed links
    app.before_request(_begin_request)
    # First in the list runs last: the id is on every answer and the line shows what is really sent.
    app.after_request_funcs.setdefault(None, []).insert(0, _end_request)
    app.teardown_request(_forget_request)


def _begin_request() -> None:
    asked = request.headers.get(REQUEST_ID_HEADER, "")
    g.request_id = asked if _REQUEST_ID.fullmatch(asked) else str(uuid6.uuid7())
    g.request_began = clock.monotonic()
    g.outer_log_context = _context.get()
    _context.set({"request_id": g.request_id})


def _end_request(response: Response) -> Response:
    if "request_id" not in g:
        return response
    response.headers[REQUEST_ID_HEADER] = g.request_id
    path = redact_path(request.path)
    facts = {
        "method": request.method,
        "path": path,
        "status": response.status_code,
        "duration_ms": round((clock.monotonic() - g.request_began) * 1000, 2),
        "bytes": response.content_length,
    }
    is_quiet = request.path.startswith(_QUIET_PATHS) and response.status_code < 400
    line = f"{request.method} {path} {response.status_code}"
    _emit("DEBUG" if is_quiet else "INFO", "app.access", line, (), {}, extra=facts)
    return response


def _log_bug(exc_info: Any) -> None:
    line = f"Exception on {request.method} {redact_path(request.path)}"
    _emit("ERROR", "app.bug", line, (), {}, exc_info=exc_info)


def _forget_request(_error: BaseException | None) -> None:
    if "outer_log_context" in g:
        _context.set(g.pop("outer_log_context"))
