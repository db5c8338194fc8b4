"""Fetching a file from an address that a user gave: as guarded as `outgoing`, and in a stream.

Redirects are followed a few times, each through the guard anew. What goes wrong is told in fixed words: an address
may hold secrets, so nothing of it gets into an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from app import clock
from app.platforms._transport import Budget
from app.services.outgoing import RefusedAddress, pool_for, refusal_in, target

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429})  # and everything from 500 on: worth asking again
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # without a single byte
HEAD_SECONDS = 60.0  # until an answer's head is there, dripped or not


class FetchFailed(Exception):  # noqa: N818 - reads as what happened
    """Nothing came, or no more of it; `again` says whether it may be different later. No address is in it."""

    def __init__(self, reason: str, *, again: bool) -> None:
        self.reason, self.again = reason, again
        super().__init__(reason)


class Answer:
    """An answer whose body is read as it comes."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

    def read(self, size: int, /) -> bytes:
        """Return what has come, at most `size` bytes, nothing only at the end. Raises FetchFailed when it is cut off.

        It does not wait until so many are there: whoever reads must see how slowly they come.
        """
        with _told():
            return bytes(self._raw.read1(size))


@contextmanager
def opened(url: str, *, headers: Mapping[str, str], seconds: float) -> Iterator[Answer]:
    """Ask for a file; everything together may take `seconds`. Raises FetchFailed."""
    budget = Budget(seconds, READ_SECONDS)
    in_all = budget.ends
    with budget.on_this_thread():
        for _ in range(MAX_REDIRECTS + 1):
            budget.ends = min(in_all, clock.monotonic() + HEAD_SECONDS)
            pool, raw = _get(url, headers)
            budget.ends = in_all
            try:
                if raw.status not in REDIRECTS:
                    yield Answer(raw)
                    return
                url = _next(url, raw.headers.get("Location"))
            finally:
                raw.close()
                pool.close()
    raise FetchFailed("it led on to too many other addresses", again=False)


def _get(url: str, headers: Mapping[str, str]) -> tuple[urllib3.HTTPConnectionPool, Any]:
    with _told():
        host, port = target(url)
        parts = urlsplit(url)
        pool = pool_for(parts.scheme, host, port)
        raw = pool.urlopen(
            "GET",
            parts._replace(scheme="", netloc="").geturl() or "/",
            headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )
        return pool, raw


def _next(url: str, location: str | None) -> str:
    """Return where a redirect leads: never from an encrypted address to one that is not."""
    if not location:
        raise FetchFailed("it answered with a redirect to nowhere", again=False)
    try:
        led = urljoin(url, location).partition("#")[0]
    except ValueError:
        raise FetchFailed(
            "it answered with a redirect to something that is no address", again=False
        ) from None
    if urlsplit(url).scheme == "https" and urlsplit(led).scheme != "https":
        raise FetchFailed("it led on to an address that is not https", again=False)
    return led


@contextmanager
def _told() -> Iterator[None]:
    """Turn what goes wrong on the way into FetchFailed."""
    try:
        yield
    except RefusedAddress as refusal:
        raise FetchFailed(_lowered(str(refusal)), again=False) from None
    except (HTTPError, OSError) as trouble:
        if refused := refusal_in(trouble):
            raise FetchFailed(_lowered(refused), again=False) from None
        raise FetchFailed(f"the connection failed ({type(trouble).__name__})", again=True) from None
    except ValueError as problem:
        raise FetchFailed(_lowered(str(problem)), again=False) from None


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def check_status(answer: Answer) -> None:
    """Raise FetchFailed unless the answer is a file, or the wanted range of one."""
    if answer.status in (200, 206):
        return
    again = answer.status >= 500 or answer.status in PASSING
    raise FetchFailed(f"it answered with status {answer.status}", again=again)
