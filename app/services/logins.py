"""What a platform can be connected by on this installation: which of its logins, and what is not offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.exceptions import PlatformValidationError
from app.platforms.base import Login, Platform


def choose(
    adapter: Platform, *, login: str | None, server: str, credentials: Mapping[str, str] | None
) -> str:
    """Return the name of the login to connect by: the one asked for, else the first that is set up.

    It is "" for a platform with one way only. Raises PlatformValidationError for whatever cannot be done here.
    """
    usable = [known.name for known in configured(adapter)]
    details: dict[str, list[str]] = {}
    if not adapter.configured(adapter.config.settings):
        details["platform"] = [f"{adapter.label} is not set up on this installation. {_wanting(adapter)}"]
    elif problem := _login_problem(adapter, login, usable):
        details["login"] = [problem]
    if server:
        details["server"] = [f"{adapter.label} has no servers to choose from. Leave this out."]
    if credentials:
        details["credentials"] = [f"{adapter.label} is connected by consent in a browser. Leave this out."]
    if details:
        raise PlatformValidationError(details=details)
    return login or next(iter(usable), "")


def configured(adapter: Platform) -> list[Login]:
    """Return the logins this installation has the settings for."""
    return [login for login in adapter.logins if all(adapter.config[name] for name in login.settings)]


def _login_problem(adapter: Platform, login: str | None, usable: Sequence[str]) -> str | None:
    if not login or login in usable:
        return None
    if not adapter.logins:
        return f"{adapter.label} is connected in one way only. Leave this out."
    known = next((item for item in adapter.logins if item.name == login), None)
    reason = f"{login!r} is not a login of {adapter.label}."
    if known is not None:
        reason = f"{known.label} is not set up on this installation. Set {_names(adapter, known.settings)}."
    return f"{reason} Usable here: {', '.join(usable)}."


def _wanting(adapter: Platform) -> str:
    ways: list[Sequence[str]] = [login.settings for login in adapter.logins]
    ways = ways or [[item.name for item in adapter.settings if item.secret]]
    return f"Set {', or '.join(_names(adapter, way) for way in ways)}."


def _names(adapter: Platform, settings: Sequence[str]) -> str:
    return " and ".join(f"{adapter.name}_{name}".upper() for name in settings)
