"""Finds the platforms: every module of this package that holds a `Platform`. Nothing lists them by hand."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import app.platforms as package
from app.exceptions import PlatformValidationError
from app.platforms._addresses import is_loopback
from app.platforms.base import GUARANTEES, UNTOLD, Login, Platform, PlatformConfig, Setting
from app.platforms.http import Call, HttpClient

CALLBACK_PATH = "/api/v1/connections/callback"  # one for all platforms: `state` tells which consent came back
_NOT_PLATFORMS = frozenset({"base", "http", "oauth", "registry"})


@cache
def classes() -> dict[str, type[Platform]]:
    """Return every adapter class by its name, in order of names."""
    modules = (
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
        if not found.name.startswith("_") and found.name not in _NOT_PLATFORMS
    )
    adapters = [adapter for module in modules for adapter in _adapters(module)]
    return {adapter.name: adapter for adapter in sorted(adapters, key=lambda adapter: adapter.name)}


def _adapters(module: ModuleType) -> list[type[Platform]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Platform) and value.__module__ == module.__name__
    ]


def names() -> tuple[str, ...]:
    """Return the names of all platforms, sorted."""
    return tuple(classes())


def get_class(name: str) -> type[Platform]:
    """Return the adapter class. Raises PlatformValidationError for an unknown name."""
    try:
        return classes()[name]
    except KeyError:
        allowed = list(names())
        message = f"{name!r} is not a platform here. Known: {', '.join(allowed)}."
        raise PlatformValidationError(message, {"found": name, "allowed": allowed}) from None


def setting_specs() -> dict[str, tuple[Setting, ...]]:
    """Return what each platform reads from the environment, as PLATFORM_SETTING."""
    return {name: adapter.settings for name, adapter in classes().items()}


class Registry:
    """The installation's adapters, one instance each, shared by all threads.

    `sandbox_allowed` False (production) refuses to speak http, also to loopback. `on_call` hears of every
    call; `request_id` gives the id to send along.
    """

    def __init__(
        self,
        settings_by_platform: Mapping[str, Mapping[str, str]],
        *,
        public_url: str,
        user_agent: str = "multi-platform-video-scheduler",
        on_call: Callable[[Call], None] | None = None,
        request_id: Callable[[], str | None] = lambda: None,
        sandbox_allowed: bool = True,
        pace: float = 1.0,
    ) -> None:
        self._public_url = public_url.rstrip("/")
        callback_url = self._public_url + CALLBACK_PATH
        self._platforms: dict[str, Platform] = {}
        for name, adapter in classes().items():
            values = _values(adapter.settings, settings_by_platform.get(name, {}))
            servers = _servers(adapter.settings, values)
            sandbox = bool(servers) and all(is_loopback(host) for host in servers)
            client = HttpClient(
                name,
                user_agent=user_agent,
                allowed_hosts=servers + _patterns(adapter.settings, values),
                allow_http=sandbox and sandbox_allowed,
                on_call=on_call,
                request_id=request_id,
            )
            self._platforms[name] = adapter(PlatformConfig(values, callback_url, sandbox, pace), client)

    def get(self, name: str) -> Platform:
        """Return the adapter. Raises PlatformValidationError for an unknown name."""
        return self._platforms[get_class(name).name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._platforms)

    def describe(self, name: str) -> dict[str, Any]:
        """Return what `GET /platforms` shows of a platform, as JSON values; durations are seconds."""
        platform = self.get(name)
        return {
            "name": platform.name,
            "label": platform.label,
            "configured": platform.configured(platform.config.settings),
            "sandbox": platform.config.sandbox,
            "guarantee": platform.guarantee,
            "guarantee_text": GUARANTEES[platform.guarantee],
            "stage_ahead": platform.stage_ahead.total_seconds(),
            "scopes": list(platform.scopes),
            "callback_url": platform.config.callback_url,
            "callbacks": {purpose: self._callback(name, purpose) for purpose in platform.callbacks},
            "logins": [_login(platform, login) for login in platform.logins],
            "steps": [_plain(kind) for kind in platform.step_kinds],
            "can_remove": platform.can_remove,
            "max_stats": platform.max_stats,
            "options": [_plain(option) for option in platform.options],
            "limits": {
                "video": _plain(platform.post_types),
                "cover": _plain(platform.cover) if platform.cover else None,
                "texts": [_plain(limit) for limit in platform.text_limits],
                "quotas": [_plain(quota) for quota in platform.quotas if quota.limit != UNTOLD],
            },
        }

    def _callback(self, name: str, purpose: str) -> str:
        """Return the address at which we take what the platform sends for this purpose (see routes/callbacks)."""
        return f"{self._public_url}/api/v1/platforms/{name}/{purpose.replace('_', '-')}"


def _login(platform: Platform, login: Login) -> dict[str, Any]:
    usable = all(platform.config[setting] for setting in login.settings)
    return {"name": login.name, "label": login.label, "configured": usable}


def _values(specs: tuple[Setting, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Return every declared setting; an empty one has its default."""
    return {spec.name: given.get(spec.name, "").strip() or spec.default for spec in specs}


def _servers(specs: tuple[Setting, ...], values: Mapping[str, str]) -> list[str]:
    urls = (values[spec.name] for spec in specs if spec.role == "server")
    return [host for url in urls if (host := urlsplit(url).hostname)]


def _patterns(specs: tuple[Setting, ...], values: Mapping[str, str]) -> list[str]:
    lists = (values[spec.name].split(",") for spec in specs if spec.role == "hosts")
    return [pattern.strip() for patterns in lists for pattern in patterns if pattern.strip()]


def _plain(value: Any) -> Any:
    """Return a declaration as JSON values; callables (how a text is counted) are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({key: item for key, item in asdict(value).items() if not callable(item)})
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
