"""Calls to addresses that users gave us: never into the machine or network we run in (SSRF).

A host is resolved once, every address it has must be a public one, and the connection goes to an address that
was checked, whatever the name says a moment later. Redirects are not followed; what cannot be decided is
refused. OUTGOING_NETWORKS names private networks an operator allows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from app.exceptions import ValidationError
from app.extensions import settings
from app.platforms._transport import Budget, PlainConnection, TlsConnection, tls_context

MAX_URL = 2048  # characters
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
# Special-purpose blocks (IANA's registries) that not every Python version knows as not global.
INNER = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "::/96",
        "64:ff9b:1::/48",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class RefusedAddress(OSError):  # noqa: N818 - a plain reason not to connect
    """The host has an address that is not public, or none that can be understood."""


@dataclass(frozen=True)
class Answer:
    """How a call ended: a status, or why there is none (in fixed words, no address in them). Seconds."""

    status: int | None
    error: str | None
    seconds: float

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def find(host: str, port: int) -> list[str]:
    """Return the host's addresses, whatever they are. Raises RefusedAddress if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RefusedAddress("This host has no address.") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_url(url: str, *, field: str = "url", find: Callable[[str, int], list[str]] = find) -> None:
    """Raise ValidationError unless this is an http(s) address of a public host, as far as can be seen now.

    `find` looks its host up.
    """
    try:
        host, port = target(url)
        _check_public(find(host, port))
    except (ValueError, OSError) as problem:
        raise ValidationError(
            details={field: [f"{problem} Give an http(s) address that is reachable from the internet."]}
        ) from None


def post(url: str, *, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """Post a body once, under a hard total deadline; the answer's body is not read. Raises nothing."""
    budget = Budget(seconds, seconds)
    try:
        with budget.on_this_thread():
            return Answer(_post(url, body, headers, seconds), None, budget.spent)
    except RefusedAddress as refusal:
        return Answer(None, str(refusal), budget.spent)
    except (HTTPError, OSError, ValueError) as trouble:
        refused = refusal_in(trouble)
        reason = refused or ("no answer in time" if budget.is_spent else "the connection failed")
        return Answer(None, reason, budget.spent)


def _post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> int:
    host, port = target(url)
    parts = urlsplit(url)
    pool = pool_for(parts.scheme, host, port)
    try:
        answer = pool.urlopen(
            "POST",
            parts._replace(scheme="", netloc="").geturl() or "/",
            body=body,
            headers=dict(headers),
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=min(5.0, seconds), read=seconds),
        )
        answer.drain_conn() if answer.status == 204 else answer.close()
        return answer.status
    finally:
        pool.close()


# -- where a name leads


def addresses(host: str, port: int) -> list[str]:
    """Return the host's addresses, all public. Raises RefusedAddress if one is not, or there is none."""
    texts = find(host, port)
    _check_public(texts)
    return texts


def _check_public(texts: Sequence[str]) -> None:
    allowed = [ip_network(text) for text in settings().outgoing_networks]
    if not texts or not all(_is_allowed(text, allowed) for text in texts):
        raise RefusedAddress("This host is not a public one.")


def _is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(each) for each in _meant(address)) or any(address in net for net in allowed)


def _meant(address: Address) -> Iterable[Address]:
    """Yield the address and every IPv4 address that is wrapped in it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return True  # judged by the address inside
    inner = address.is_multicast or address.is_reserved or address.is_private or address.is_unspecified
    return address.is_global and not inner and not any(address in network for network in INNER)


def target(url: str) -> tuple[str, int]:
    """Return host and port. Raises ValueError saying what is wrong with the address."""
    if len(url) > MAX_URL or not all("!" <= char <= "~" and char not in '\\"<>^`{|}' for char in url):
        raise ValueError("This is not a plain web address.")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("This is not an http or https address.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("An address with a user name, password or fragment is not accepted.")
    port = parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    if port == 0:
        raise ValueError("Port 0 cannot be reached.")
    return parts.hostname, port


# -- connections that go where was looked


class _PinnedPlain(PlainConnection):
    def _new_conn(self) -> socket.socket:
        self._dns_host = addresses(self._dns_host, self.port)[0]
        return super()._new_conn()


class _PinnedTls(TlsConnection):
    def _new_conn(self) -> socket.socket:
        self._dns_host = addresses(self._dns_host, self.port or 443)[0]
        return super()._new_conn()


def pool_for(scheme: str, host: str, port: int) -> urllib3.HTTPConnectionPool:
    if scheme == "http":
        plain = urllib3.HTTPConnectionPool(host, port, maxsize=1)
        plain.ConnectionCls = _PinnedPlain
        return plain
    tls = urllib3.HTTPSConnectionPool(host, port, maxsize=1, ssl_context=tls_context())
    tls.ConnectionCls = _PinnedTls
    return tls


def refusal_in(trouble: BaseException | None) -> str | None:
    """Return the refusal's words if that is what lies under the trouble."""
    while trouble is not None:
        if isinstance(trouble, RefusedAddress):
            return str(trouble)
        trouble = trouble.__cause__ or trouble.__context__
    return None
