"""Which addresses we speak to. Platforms hand us URLs to send bytes to; those are checked like any input."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH = 2048


def is_allowed(url: str, *, hosts: Collection[str], allow_http: bool) -> bool:
    """Return whether a URL is https on the usual port of a host that fits one of the patterns.

    With `allow_http` also http and any port, on loopback hosts only. Credentials, fragments and anything two
    parsers could read differently are refused.
    """
    try:
        return _is_plain(url) and _fits(urlsplit(url), hosts, allow_http=allow_http)
    except ValueError:
        return False


def _fits(parts: SplitResult, hosts: Collection[str], *, allow_http: bool) -> bool:
    host = (parts.hostname or "").lower()
    if parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if not any(fnmatchcase(host, pattern) for pattern in hosts):
        return False
    if allow_http and is_loopback(host):
        return parts.scheme in {"http", "https"} and parts.port != 0
    return parts.scheme == "https" and parts.port in {None, 443}


def is_loopback(host: str) -> bool:
    """Return whether a host name means this machine, without asking DNS."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(url: str) -> bool:
    """Return whether all parsers read the URL alike: no blanks, controls, backslashes or other scripts."""
    return len(url) <= MAX_URL_LENGTH and all("!" <= char <= "~" and char != "\\" for char in url)
