"""The hosts of many addresses that users gave us, looked up at once instead of one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Self

from app.services import outgoing
from app.services.outgoing import RefusedAddress

THREADS = 16
SECONDS = 15.0  # for all of them; a name server that is silent would take longer for each


class Lookups:
    """Checks addresses as `outgoing.check_url` does. Nothing is looked up before the first is asked about."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = list(urls)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lookup")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)  # a name that nobody knows yet holds nobody up

    def check_url(self, url: str, *, field: str = "url") -> None:
        """Raise ValidationError unless this, one of the addresses, leads to a public host; also if it took too long."""
        outgoing.check_url(url, field=field, find=self._find)

    def _find(self, host: str, _port: int) -> list[str]:
        found, until = self._begun
        try:
            return found[host].result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise RefusedAddress("This host was not found in time; send this again.") from None

    @cached_property
    def _begun(self) -> tuple[dict[str, Future[list[str]]], float]:
        """Return the lookups, all begun now, by host, and when there is no more waiting for them."""
        hosts = dict.fromkeys(host for url in self._urls if (host := _host(url)))
        found = {host: self._pool.submit(outgoing.find, host, 443) for host in hosts}
        return found, time.monotonic() + SECONDS


def _host(url: str) -> str | None:
    try:
        return outgoing.target(url)[0]
    except ValueError:
        return None  # refused when it is asked about
