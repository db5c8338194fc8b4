"""What `make run` adds so that there is something to try: a login, an API key, a sandbox channel of each platform.

All of it goes through the HTTP API as a person would, also the consent. DATA_DIR/demo.json (mode 0600) holds
what `make demo` needs; the password stands there only until it has been shown.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.embedded import write_private

EMAIL = "demo@example.com"
SECONDS = 30


class SeedFailed(Exception):  # noqa: N818 - reads as what happened
    """The demo data could not be made; the message says at which step and what the answer was."""


def platform_settings(sandbox_url: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that lead each platform to the sandbox, but for platforms somebody set up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{sandbox_url}/__sim/environment", timeout=SECONDS) as answer:
        by_platform: dict[str, dict[str, str]] = json.load(answer)
    decided: dict[str, str] = {}
    for values in by_platform.values():
        if not any(given.get(name) for name in values):
            decided |= values
    return decided


def read_demo(data_dir: Path) -> dict[str, Any]:
    """Return what DATA_DIR/demo.json holds, or {}."""
    try:
        found = json.loads((data_dir / "demo.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_demo(data_dir: Path, demo: Mapping[str, Any]) -> None:
    write_private(data_dir / "demo.json", json.dumps(demo, indent=2) + "\n")


class Seed:
    """Makes what is missing; may be interrupted anywhere and started again."""

    def __init__(self, url: str, data_dir: Path) -> None:
        import requests  # only here: the runner lives long and is small without it

        self.url, self.data_dir = url.rstrip("/"), data_dir
        self.demo = read_demo(data_dir)
        self.http = requests.Session()
        self.http.trust_env = False  # loopback needs no proxy, and ~/.netrc is none of our business

    def plant(self) -> dict[str, Any]:
        """Return the demo's facts, making what is missing. Raises SeedFailed.

        `{}` when the database has people already and none of them is ours.
        """
        if not self.demo.get("email"):
            # Written before it is used: an interrupted start must find its own password again.
            self._keep(email=EMAIL, password=secrets.token_urlsafe(12))
        if not self._key_works() and not self._make_key():
            (self.data_dir / "demo.json").unlink()
            return {}
        self.http.headers["Authorization"] = f"Bearer {self.demo['api_key']}"
        self._connect_channels()
        return self.demo

    def shown(self) -> None:
        """Forget what is shown once."""
        self._keep(password=None)

    def _keep(self, **facts: Any) -> None:
        self.demo = {key: value for key, value in (self.demo | facts).items() if value is not None}
        write_demo(self.data_dir, self.demo)

    def _key_works(self) -> bool:
        key = self.demo.get("api_key")
        headers = {"Authorization": f"Bearer {key}"}
        return bool(key) and self.http.get(f"{self.url}/api/v1/channels", headers=headers, timeout=SECONDS).ok

    def _make_key(self) -> bool:
        """Register or log in, then make the key; False when neither is possible."""
        login = {"email": self.demo["email"], "password": self.demo.get("password", "")}
        if not login["password"]:
            return False
        self._call("POST", "/auth/register", json=login, allowed=(403, 409))
        answer = self._call("POST", "/auth/login", json=login, allowed=(401,))
        if "access_token" not in answer:
            return False
        self.http.headers["Authorization"] = f"Bearer {answer['access_token']}"
        body = {"name": "make run", "scopes": ["read", "write", "publish"]}
        self._keep(api_key=self._call("POST", "/api-keys", json=body)["key"], key_shown=False)
        return True

    def _connect_channels(self) -> None:
        """Connect one account of every sandbox platform that has none yet."""
        platforms = self._call("GET", "/platforms")["data"]
        connected = {channel["platform"] for channel in self._call("GET", "/channels")["data"]}
        for platform in platforms:
            if platform["sandbox"] and platform["configured"] and platform["name"] not in connected:
                self._connect(platform["name"])

    def _connect(self, platform: str) -> None:
        """Go the whole way of a consent: to the platform's page, approve, back to the callback, complete."""
        connection = self._call("POST", "/connections", json={"platform": platform})
        page = f"{connection['authorize_url']}&auto=approve"
        consent = self.http.get(page, allow_redirects=False, timeout=SECONDS, headers={"Authorization": ""})
        back = urlsplit(consent.headers.get("Location", ""))
        if not back.query:
            raise SeedFailed(f"The sandbox did not send the consent back: HTTP {consent.status_code}.")
        answer = self.http.get(f"{self.url}{back.path}?{back.query}", timeout=SECONDS)
        if not answer.ok:
            raise SeedFailed(f"The callback answered HTTP {answer.status_code}: {answer.text[:300]}")
        path = f"/connections/{connection['id']}"
        first = self._call("GET", path)["choices"][0]  # of several Pages, a person would choose
        self._call("POST", f"{path}/complete", json={"choice_ids": [first["id"]]})

    def _call(self, method: str, path: str, *, allowed: tuple[int, ...] = (), **options: Any) -> Any:
        answer = self.http.request(method, f"{self.url}/api/v1{path}", timeout=SECONDS, **options)
        if not answer.ok and answer.status_code not in allowed:
            raise SeedFailed(f"{method} {path} answered HTTP {answer.status_code}: {answer.text[:300]}")
        return answer.json()
