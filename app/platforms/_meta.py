"""What Meta's platforms share: calls of the Graph API and of its upload host, and how they end.

Logging in is in `_meta_login.py`, what Meta sends us in `_meta_callbacks.py`, the codes in `_meta_rules.py`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _meta_rules as rules
from app.platforms import _meta_usage as usage
from app.platforms._meta_rules import Row, Tables
from app.platforms._meta_usage import Room
from app.platforms._transport import RequestBody
from app.platforms.base import PlatformConfig, PublishRequest
from app.platforms.http import AnswerLost, HttpClient, Line, Response

API_DEADLINE = 20.0  # seconds for one call without a file
SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload slower than this is given up; what arrived is kept
MAX_PAGES = 20  # pages of a list that are followed


class Graph:
    """One host of the Graph API, version included. Every method may raise what HttpClient and `refusal` raise.

    `tables` are the platform's codes over Meta's general ones. With an app secret every call carries its
    proof, which Meta asks for where "require app secret" is on. `app_calls` is the bucket of the app's calls; graphs
    of one app share their `room`.
    """

    def __init__(
        self,
        http: HttpClient,
        config: PlatformConfig,
        base: str,
        *,
        label: str,
        tables: Tables | None = None,
        app_secret: str = "",
        app_calls: str = "app_calls",
        room: Room | None = None,
    ) -> None:
        self.http = http
        self.base = base.rstrip("/")
        self.label = label
        self.tables = tables or Tables()
        self.app_calls = app_calls
        self.room = room or Room(config.pace)
        self._pace = config.pace
        self._app_secret = app_secret

    def call(
        self,
        method: str,
        path_or_url: str,
        token: str,
        *,
        operation: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | RequestBody | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = API_DEADLINE,
        commits: bool = False,
        line: Line | None = None,
    ) -> dict[str, Any]:
        """Make one call and return its JSON object.

        `path_or_url` is a path below the base, with its slash, or a whole address. On `commits` everything
        that leaves in doubt whether it published is kind ambiguous.
        """
        response = self.http.request(
            method,
            self._url(path_or_url),
            operation=operation,
            headers={**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})},
            params={**(params or {}), **self._proof(token)},
            data=data,
            json=json,
            body=body,
            deadline=deadline,
            commits=commits,
            line=line,
            log_id=trace_id,
        )
        self.room.note(token, response.headers)
        return self.answer(response, commits=commits)

    def count_calls(self, request: PublishRequest) -> None:
        """Raise PlatformRateLimitError while Meta's word has closed the app's or the account's calls."""
        for bucket in (self.app_calls, rules.CALLS):
            request.reserve(bucket, 1)

    def check_room(self, token: str) -> None:
        """Raise PlatformRateLimitError if the last answers said that nearly all calls are used."""
        if closed := self.room.closed(token):
            whose, until = closed
            error = self.error(rules.NO_ROOM._replace(whose=whose), "usage")
            error.retry_at = until
            raise error

    def upload(
        self,
        url: str,
        token: str,
        body: bytes | RequestBody,
        *,
        offset: int,
        size: int,
        operation: str = "upload",
    ) -> dict[str, Any]:
        """Send the bytes from `offset` on to an address of the upload host; `size` is the whole file's.

        Meta takes the rest of the file in one request, without alignment.
        """
        headers = {
            "Authorization": f"OAuth {token}",
            "offset": str(offset),
            "file_size": str(size),
            "Content-Type": "application/octet-stream",
        }
        deadline = API_DEADLINE + len(body) / SLOWEST_BYTES_PER_SECOND
        response = self.http.request(
            "POST", url, operation=operation, headers=headers, body=body, deadline=deadline, log_id=trace_id
        )
        return self.answer(response)

    def listing(
        self, path: str, token: str, *, operation: str, params: Mapping[str, str], pages: int = MAX_PAGES
    ) -> list[dict[str, Any]]:
        """Return the objects of a list, following its cursors through at most `pages` pages.

        It is the whole list or none: of one that is longer (kind account) or not readable (transient) nobody
        can say what is not in it.
        """
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        for _ in range(pages):
            answer = self.call("GET", path, token, operation=operation, params={**params, **after})
            found += self.rows(answer, operation=operation)
            paging = part(answer.get("paging"))
            if not paging.get("next"):
                return found
            after = {"after": self._next_cursor(paging, operation)}
        message = f"{self.label} has more of these than we can look through ({len(found)})."
        details = {"operation": operation, "found": len(found)}
        raise PlatformAPIError(message, details, platform=self.http.platform, kind="account")

    def rows(self, answer: Mapping[str, Any], *, operation: str) -> list[dict[str, Any]]:
        """Return the objects of a page of a list. Raises (transient) for one that holds no list of objects."""
        data = answer.get("data")
        found = objects(data)
        if not isinstance(data, list) or len(found) != len(data):
            raise self._unlisted(operation)
        return found

    def answer(self, response: Response, *, commits: bool = False) -> dict[str, Any]:
        """Return an answer's object, or raise the typed error it stands for."""
        try:
            found = response.json()
        except AnswerLost:
            if response.status < 400:
                raise
            found = {}
        if response.status < 400 and "error" not in found and "debug_info" not in found:
            return found
        raise self.refusal(response, found, commits=commits)

    def refusal(self, response: Response, answer: Mapping[str, Any], *, commits: bool) -> PlatformAPIError:
        """Return the typed error of an answer: by its subcode, its code, else by its HTTP status."""
        fault = answer.get("error")
        fault = fault if isinstance(fault, dict) else {}
        code, subcode = whole(fault.get("code")), whole(fault.get("error_subcode"))
        row = (
            self.tables.row(code, subcode)
            or self._upload_row(answer)
            or rules.row_for_status(response.status)
        )
        is_passing = fault.get("is_transient") is True or response.status >= 500
        if is_passing and row.kind not in {"rate", "quota", "reauth"}:
            row = rules.passing()
        details = {"operation": response.operation, "status": response.status, "trace_id": trace_id(response)}
        shown = _shown(code, subcode) or _debug_type(answer) or f"http_{response.status}"
        if commits and (row.doubtful or is_passing):
            return doubt(self.http.platform, self.label, details, code=shown)
        return self.error(row, shown, details | _offsets(fault), response=response)

    def error(
        self, row: Row, code: str, details: dict[str, Any] | None = None, *, response: Response | None = None
    ) -> PlatformAPIError:
        """Return the error a row describes; its wait may be told by the answer's headers."""
        return row.raises(
            row.sentence.format(label=self.label),
            {**(details or {}), **row.facts, **self._bucket(row)},
            platform=self.http.platform,
            kind=row.kind,
            platform_code=code,
            retry_at=self._retry_at(row, response.headers if response else {}),
        )

    def _retry_at(self, row: Row, headers: Mapping[str, str]) -> datetime | None:
        """Return when to try again; what the platform tells is kept to, our own guess follows the pace."""
        if row.kind not in {"rate", "quota"}:
            return None
        account = usage.of_account(headers)
        told = row.wait or (account.regain if account else None)
        return clock.now() + (told or usage.guessed_wait(headers) / self._pace)

    def _bucket(self, row: Row) -> dict[str, str]:
        """Return the quota whose window an error closes."""
        return {"bucket": self.app_calls if row.whose == usage.APP else rules.CALLS} if row.whose else {}

    def _next_cursor(self, paging: Mapping[str, Any], operation: str) -> str:
        """Return the cursor of the next page. Its whole address is not used: it holds the token."""
        if cursor := text(part(paging.get("cursors")).get("after")):
            return cursor
        raise self._unlisted(operation)

    def _unlisted(self, operation: str) -> PlatformAPIError:
        message = f"{self.label}'s answer to {operation} is no whole list. We ask again."
        return PlatformAPIError(message, {"operation": operation}, platform=self.http.platform)

    def _url(self, path_or_url: str) -> str:
        return self.base + path_or_url if path_or_url.startswith("/") else path_or_url

    def _proof(self, token: str) -> dict[str, str]:
        return {"appsecret_proof": proof(self._app_secret, token)} if self._app_secret and token else {}

    def _upload_row(self, answer: Mapping[str, Any]) -> Row | None:
        return rules.UPLOAD_TYPES.get(_debug_type(answer) or "")


def proof(app_secret: str, token: str) -> str:
    """Return `appsecret_proof`: HMAC-SHA256 of the token under the app's secret, in hexadecimal."""
    return hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def doubt(
    platform: str, label: str, details: dict[str, Any] | None = None, *, code: str | None = None
) -> PlatformAPIError:
    """Return the error for a post that may exist: only asking helps, never sending again."""
    message = f"{label} did not say clearly whether the post was made. We ask what became of it."
    return PlatformAPIError(message, details, platform=platform, kind="ambiguous", platform_code=code)


def trace_id(response: Response) -> str | None:
    """Return Meta's own name for the call, which its support asks for."""
    value = response.headers.get("x-fb-trace-id", "")
    return value if 0 < len(value) <= 64 and value.isascii() and value.isprintable() else None


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """Return a whole number that may come as text, or None."""
    if isinstance(value, str) and len(value) <= 19 and value.lstrip("-").isdigit() and value.isascii():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; whatever else is in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def part(value: object) -> dict[str, Any]:
    """Return an object within an answer, or an empty one."""
    return value if isinstance(value, dict) else {}


def identifier(value: object) -> str:
    """Return an id of an answer, which may come as a number or as text; empty if it is none."""
    number = whole(value)
    found = str(number) if number is not None and number > 0 else text(value)
    return found if 0 < len(found) <= 64 and _is_id(found) else ""


def _is_id(value: str) -> bool:
    return value.isascii() and value.replace("_", "").replace("-", "").isalnum()


def _shown(code: int | None, subcode: int | None) -> str | None:
    if code is None:
        return None
    return f"{code}/{subcode}" if subcode else str(code)


def _debug_type(answer: Mapping[str, Any]) -> str | None:
    found = text(part(answer.get("debug_info")).get("type"))
    return found if 0 < len(found) <= 64 and found.isalnum() else None


def _offsets(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a chunked upload is to go on, which some refusals tell."""
    data = part(fault.get("error_data"))
    start, end = whole(data.get("start_offset")), whole(data.get("end_offset"))
    return {} if start is None or end is None else {"start_offset": start, "end_offset": end}
