"""The one way to a platform: HTTP with a hard total deadline, no redirects, no retries, and an honest ending.

A call ends in a `Response`, or in one of two errors that tell apart what matters when posting:

    NotSent     not one byte of the request left us (connect, DNS, TLS, pool): certainly no effect
    AnswerLost  bytes left, but no readable answer came (timeout, reset, cut off, garbage): the effect is
                unknown; on a call that publishes (`commits=True`) its kind is "ambiguous"

The difference is not guessed from exception names: every socket is ours, notes the first byte written to it
and gives each read and write only what is left of the deadline, so an answer that trickles cannot outlast it.
"""

from __future__ import annotations

import json as jsonlib
import logging
import os
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from app import clock
from app.exceptions import ErrorKind, PlatformAPIError
from app.platforms._addresses import is_allowed
from app.platforms._transport import BLOCK_BYTES, Adapter, Budget, RequestBody, new_session

MAX_ANSWER_BYTES = 5_000_000
T = TypeVar("T")
LINE_FRESH_SECONDS = 3.0  # an older warm connection is replaced: servers drop idle ones after 5 s or so

logger = logging.getLogger(__name__)
# urllib3 writes each request line, with the tokens in its query, at DEBUG.
logging.getLogger("urllib3").setLevel(logging.INFO)


class NotSent(PlatformAPIError):  # noqa: N818 - an outcome, in DESIGN's words
    """The request certainly had no effect: no byte of it left this machine."""

    default_message = "The platform could not be reached. Nothing was sent; we try again."


class AnswerLost(PlatformAPIError):  # noqa: N818 - as above
    """The request was sent, wholly or in part, and no readable answer came back."""

    default_message = "The platform's answer was lost on the way."


@dataclass(frozen=True)
class Call:
    """What became of one call, for metrics and the ledger; carries no URL and no secret.

    `status` is None when no answer came, `duration` is in seconds, `error` is the error's class name.
    """

    platform: str
    operation: str
    status: int | None
    duration: float
    request_id: str
    platform_log_id: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Response:
    """An answer, read to its end: at most MAX_ANSWER_BYTES, never decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    platform: str = ""
    operation: str = ""
    lost_kind: ErrorKind = "transient"

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises AnswerLost when it is anything else."""
        try:
            value = jsonlib.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self.unreadable("not a JSON object")
        return value

    def unreadable(self, reason: str) -> AnswerLost:
        """Return the error for an answer that came but does not say what it must."""
        message = f"The platform's answer to {self.operation} could not be understood ({reason})."
        details = {"operation": self.operation, "status": self.status}
        return AnswerLost(message, details, platform=self.platform, kind=self.lost_kind)


class Line:
    """A connection opened ahead for one later call, by whichever thread makes it."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        self.opened_at = clock.monotonic()


def no_log_id(_response: Response) -> str | None:
    return None


@dataclass(frozen=True)
class _Order:
    """One call to make; `what` goes to requests as it is."""

    method: str
    url: str
    operation: str
    kind: ErrorKind
    call_id: str
    what: Mapping[str, Any]
    line: Line | None
    log_id: Callable[[Response], str | None]
    expects_redirect: bool


class HttpClient:
    """Calls one platform. Safe to share between threads; each thread keeps its own connections alive.

    `allowed_hosts` are host patterns (`*.example.com`); only these are ever spoken to, over https. With
    `allow_http` also http and any port are allowed, on loopback only: the sandbox.
    """

    def __init__(
        self,
        platform: str,
        *,
        user_agent: str,
        allowed_hosts: Collection[str],
        allow_http: bool = False,
        on_call: Callable[[Call], None] | None = None,
        request_id: Callable[[], str | None] = lambda: None,
        ca_file: str | None = None,
    ) -> None:
        self.platform = platform
        self.user_agent = user_agent
        self.allowed_hosts = tuple(host.lower() for host in allowed_hosts)
        self.allow_http = allow_http
        self.on_call = on_call
        self.request_id = request_id
        self._ca_file = ca_file
        self._local = threading.local()

    def request(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        body: bytes | RequestBody | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        expect_redirect: bool = False,
        commits: bool = False,
        line: Line | None = None,
        log_id: Callable[[Response], str | None] = no_log_id,
    ) -> Response:
        """Make one call and return its answer, whatever its status.

        `deadline` bounds the whole call in seconds, connecting and reading included; only a DNS lookup may
        outlast it. `commits` marks the call that publishes. A redirect is never followed, and without
        `expect_redirect` it is an AnswerLost. Raises NotSent, AnswerLost, or PlatformAPIError for a URL
        that `check_url` refuses.
        """
        self.check_url(url)
        call_id = self.request_id() or uuid.uuid4().hex
        what = {"params": params, "json": json, "data": data if body is None else body}
        what["headers"] = {"X-Request-Id": call_id, **(headers or {})}
        what["timeout"] = (min(connect_timeout, max(deadline, 0.001)), read_timeout)
        kind: ErrorKind = "ambiguous" if commits else "transient"
        order = _Order(method, url, operation, kind, call_id, what, line, log_id, expect_redirect)
        budget = Budget(deadline, read_timeout)
        return self._finish(_attempt(lambda: self._exchange(order), budget), budget, order)

    def warm(self, url: str, *, connect_timeout: float = 5.0) -> Line:
        """Open a connection ahead, TLS included, for one later call with `line=`.

        A failure is reported to `on_call` and not raised: the call itself then connects, or is NotSent.
        """
        self.check_url(url)
        line = Line(new_session(self.user_agent, self._ca_file))
        budget = Budget(connect_timeout, connect_timeout)
        adapter = line.session.get_adapter(url)
        assert isinstance(adapter, Adapter)
        outcome = _attempt(lambda: adapter.open_ahead(url, connect_timeout), budget)
        if isinstance(outcome, str):
            self._report(Call(self.platform, "connect", None, budget.spent, "", error="NotSent"))
        return line

    def check_url(self, url: str) -> str:
        """Return the URL if we may speak to it. Raises PlatformAPIError (kind config) without showing it."""
        if not is_allowed(url, hosts=self.allowed_hosts, allow_http=self.allow_http):
            message = "The platform named an address outside the allowed hosts; it was not contacted."
            details = {"allowed_hosts": list(self.allowed_hosts)}
            raise PlatformAPIError(message, details, platform=self.platform, kind="config")
        return url

    def _session(self) -> requests.Session:
        """Return this thread's session; a forked child never shares its parent's sockets."""
        local = self._local
        if getattr(local, "pid", None) != os.getpid():
            local.session, local.pid = new_session(self.user_agent, self._ca_file), os.getpid()
        session: requests.Session = local.session
        return session

    def _exchange(self, order: _Order) -> Response:
        session = self._session() if order.line is None else _fresh(order.line)
        with session.request(
            order.method, order.url, **order.what, stream=True, allow_redirects=False
        ) as raw:
            facts = (raw.status_code, CaseInsensitiveDict(raw.headers), _read(raw))
        answer = Response(*facts, self.platform, order.operation, order.kind)
        if answer.status in range(300, 400) and not order.expects_redirect:
            raise answer.unreadable("a redirect, which we do not follow")
        return answer

    def _finish(self, outcome: Response | PlatformAPIError | str, budget: Budget, order: _Order) -> Response:
        """Report the call, then return the answer or raise; errors carry no cause, for causes carry URLs."""
        if isinstance(outcome, str):
            outcome = self._trouble(outcome, order, sent=budget.was_sent)
        if isinstance(outcome, PlatformAPIError):
            status, name = outcome.details.get("status"), type(outcome).__name__
            self._report(self._call(order, budget, status, error=name))
            raise outcome
        self._report(self._call(order, budget, outcome.status, platform_log_id=order.log_id(outcome)))
        return outcome

    def _call(self, order: _Order, budget: Budget, status: int | None, **facts: str | None) -> Call:
        return Call(self.platform, order.operation, status, budget.spent, order.call_id, **facts)

    def _trouble(self, reason: str, order: _Order, *, sent: bool) -> PlatformAPIError:
        details = {"operation": order.operation, "reason": reason}
        if sent:
            message = f"The platform's answer to {order.operation} was lost ({reason})."
            return AnswerLost(message, details, platform=self.platform, kind=order.kind)
        return NotSent(details=details, platform=self.platform)

    def _report(self, call: Call) -> None:
        if self.on_call is None:
            return
        try:
            self.on_call(call)
        except Exception:  # the answer in hand is worth more than its bookkeeping
            logger.exception("on_call failed for %s %s", call.platform, call.operation)


def _attempt(work: Callable[[], T], budget: Budget) -> T | PlatformAPIError | str:
    """Run `work` under the budget; return its result, its typed error, or why it failed in fixed words."""
    try:
        with budget.on_this_thread():
            return work()
    except PlatformAPIError as error:
        error.__traceback__ = None
        return error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as fault:
        return "timed out" if budget.is_spent or _is_timeout(fault) else "the connection failed"


def _is_timeout(fault: BaseException) -> bool:
    kinds = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    return isinstance(fault, kinds) or "timed out" in str(fault)


def _read(raw: requests.Response) -> bytes:
    """Return the whole body as it came; an answer beyond the cap is cut off and counts as lost."""
    pieces = bytearray()
    for piece in raw.raw.stream(BLOCK_BYTES, decode_content=False):
        pieces += piece
        if len(pieces) > MAX_ANSWER_BYTES:
            raise requests.exceptions.ContentDecodingError("answer too large")
    return bytes(pieces)


def _fresh(line: Line) -> requests.Session:
    if clock.monotonic() - line.opened_at > LINE_FRESH_SECONDS:
        line.session.close()  # its pools are emptied; the session itself stays usable
    return line.session
