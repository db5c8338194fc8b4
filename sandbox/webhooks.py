"""Tells the apps what happened: each platform says which notices are due, a thread sends them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import requests
from flask import Flask

if TYPE_CHECKING:
    from sandbox.state import Sandbox

_INTERVAL_SECONDS = 0.2
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Notice:
    """A call to an app: `key` names the fact it tells, `sign` makes the headers for the raw body.

    `platform` and `purpose` (webhook, deauthorize, data-deletion) fill `{platform}` and `{purpose}` in the
    address; what is no webhook is sent only where the address tells purposes apart.
    """

    key: str
    body: str
    sign: Callable[[str], dict[str, str]]
    platform: str = "tiktok"
    purpose: str = "webhook"

    def address(self, template: str) -> str | None:
        """Return where to send it, or None if it has no place there."""
        if self.purpose != "webhook" and "{purpose}" not in template:
            return None
        return template.replace("{platform}", self.platform).replace("{purpose}", self.purpose)


class Sender:
    """Sends every due notice once (or `webhook_copies` times) to `webhook_url`; a 2xx ends it.

    What was sent is in memory: after a restart all is told again, as "at least once" allows.
    """

    def __init__(self, sandbox: Sandbox, modules: dict[str, ModuleType]) -> None:
        self._sandbox = sandbox
        self._sources = [module.notices for module in modules.values() if hasattr(module, "notices")]
        self._sent: set[str] = set()
        self._http = requests.Session()
        self._http.trust_env = False  # loopback needs no proxy
        self._stop = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self.deliveries: list[dict[str, Any]] = []

    def wake(self) -> None:
        """Start the thread if there is somewhere to send to; without an address none runs."""
        with self._start:
            if self._thread is None and self._sandbox.settings.webhook_url and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(_TIMEOUT_SECONDS + 1)
        self._http.close()

    def forget(self) -> None:
        self._sent.clear()
        self.deliveries.clear()

    def send_due(self) -> None:
        """Send what is due and has not been taken; what fails is tried again next time."""
        settings = self._sandbox.settings
        if not settings.webhook_url:
            return
        due = [notice for source in self._sources for notice in source(self._sandbox)]
        for notice in due:
            url = notice.address(settings.webhook_url)
            if url is None or notice.key in self._sent:
                continue
            taken = [self._post(url, notice) for _ in range(max(1, settings.webhook_copies))]
            if all(taken):
                self._sent.add(notice.key)

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            self.send_due()

    def _post(self, url: str, notice: Notice) -> bool:
        headers = {"Content-Type": "application/json", **notice.sign(notice.body)}
        try:
            answer = self._http.post(url, data=notice.body, headers=headers, timeout=_TIMEOUT_SECONDS)
            status: int | None = answer.status_code
        except requests.RequestException:
            status = None
        self.deliveries.append({"url": url, "body": notice.body, "status": status})
        return status is not None and 200 <= status < 300


def init_app(app: Flask, sandbox: Sandbox, modules: dict[str, ModuleType]) -> None:
    sender = Sender(sandbox, modules)
    app.extensions["sandbox.webhooks"] = sender
    sender.wake()
