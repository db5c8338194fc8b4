"""Under `http.py`: sockets that keep to a call's budget, and the sessions built on them.

A socket timeout bounds one read, not a call, and an exception's name does not say whether bytes had left. So
every socket here looks up the budget of the call its thread is making: it waits no longer than what is left
of it, and notes the first byte written.
"""

from __future__ import annotations

import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, BinaryIO, Protocol

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from app import clock
from app.exceptions import StorageError

BLOCK_BYTES = (
    128 * 1024
)  # one read of the body and one write; urllib3's own is 16 KiB: more turns of the loop
STRETCH = 8 * 1024 * 1024  # bytes after which progress is saved, and others may go first
BREATH = 2.0  # seconds a platform gets to store what was sent before a request was broken off

_current = threading.local()
_loading = threading.Lock()


class Budget:
    """What one call may spend, and whether any byte of it left us."""

    def __init__(self, seconds: float, read_timeout: float) -> None:
        self.started = clock.monotonic()
        self.ends = self.started + seconds
        self.read_timeout = read_timeout
        self.was_sent = False

    @property
    def spent(self) -> float:
        return clock.monotonic() - self.started

    @property
    def is_spent(self) -> bool:
        return clock.monotonic() >= self.ends

    @contextmanager
    def on_this_thread(self) -> Iterator[None]:
        _current.budget = self
        try:
            yield
        finally:
            _current.budget = None

    def remaining(self) -> float:
        """Return the seconds left. Raises TimeoutError when there are none."""
        left = self.ends - clock.monotonic()
        if left <= 0:
            raise TimeoutError("timed out: the call's deadline has passed")
        return left


class RequestBody(Protocol):
    """A body of known length. Must not be an io.RawIOBase: requests would fall back to chunked encoding."""

    def __len__(self) -> int: ...
    def read(self, size: int = -1, /) -> bytes: ...


class StreamBody:
    """A stretch of a file as a body: exactly `length` bytes of a stream, a block at a time.

    Raises StorageError when the stream ends early; the request is then cut off, never padded.
    """

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def __len__(self) -> int:
        return self._left

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._stream.read(wanted) if wanted else b""
        if wanted and not block:
            raise StorageError("The stored video ended before its length. Upload it again.")
        self._left -= len(block)
        return block


class OthersFirst(Exception):  # noqa: N818 - a normal end
    """The upload was broken off on purpose; what arrived is kept."""


class PatientBody:
    """The rest of a file. `on_stretch` hears how much has been sent, after each stretch; what it raises breaks
    the request off, and the platform keeps what it got."""

    def __init__(self, inner: StreamBody, on_stretch: Callable[[int], None]) -> None:
        self._inner, self._on_stretch = inner, on_stretch
        self._sent = self._told = 0

    def __len__(self) -> int:
        return len(self._inner)

    def read(self, size: int = -1, /) -> bytes:
        if self._sent - self._told >= STRETCH and len(self._inner):
            self._told = self._sent
            self._on_stretch(self._sent)
        block = self._inner.read(size)
        self._sent += len(block)
        return block


class _Guarded(socket.socket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if (budget := _this_budget()) is not None:
            self.settimeout(min(budget.remaining(), budget.read_timeout))
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self._before_writing()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._before_writing()
        super().sendall(*args, **kwargs)

    def _before_writing(self) -> None:
        if (budget := _this_budget()) is not None:
            self.settimeout(budget.remaining())
            budget.was_sent = True


class _GuardedTls(_Guarded, ssl.SSLSocket):
    """The same over TLS; the handshake does not pass through `send`, so it does not count as sent."""


def _this_budget() -> Budget | None:
    return getattr(_current, "budget", None)


class PlainConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        plain = self.sock
        assert plain is not None
        seconds = plain.gettimeout()
        self.sock = _Guarded(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.sock.settimeout(seconds)


class TlsConnection(HTTPSConnection):
    """Its sockets are made by the context below."""

    @property
    def is_connected(self) -> bool:
        """Return whether the peer is still there. Session tickets, which TLS 1.3 servers send right after the
        handshake, make a socket readable; urllib3 takes that for a closing and would connect again."""
        return super().is_connected or (self.sock is not None and _only_tickets_came(self.sock))


def _only_tickets_came(sock: socket.socket) -> bool:
    seconds = sock.gettimeout()
    sock.settimeout(0.0)
    try:
        sock.recv(1)  # takes in the tickets; an end or an answer nobody asked for comes back
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(seconds)
    return False


class _OpensAhead(HTTPConnectionPool):
    def open_ahead(self, seconds: float) -> None:
        """Connect now and leave the connection in the pool for the next request."""
        connection = self._get_conn()
        try:
            connection.timeout = seconds
            if connection.is_closed:
                connection.connect()
        finally:
            self._put_conn(connection)


class _PlainPool(_OpensAhead):
    ConnectionCls = PlainConnection


class _TlsPool(_OpensAhead, HTTPSConnectionPool):
    ConnectionCls = TlsConnection


class Adapter(HTTPAdapter):
    """Guarded connections, no retries, certificates always verified."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        super().__init__(pool_connections=4, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(
            *args, ssl_context=tls_context(self._ca_file), blocksize=BLOCK_BYTES, **kwargs
        )
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Verify against our context; requests would load the whole CA file again for each connection."""
        conn.cert_reqs = "CERT_REQUIRED"

    def open_ahead(self, url: str, seconds: float) -> None:
        """Connect to the URL's host now; the next request of this session uses that connection."""
        request = requests.Request("GET", url).prepare()
        pool = self.get_connection_with_tls_context(request, verify=True)
        assert isinstance(pool, _OpensAhead)
        pool.open_ahead(seconds)


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return the process's context for these authorities, certifi's by default.

    Loading them costs more than a handshake, so it is done once, however many threads ask for it first.
    """
    with _loading:
        return _load_context(ca_file or certifi.where())


@functools.cache
def _load_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _GuardedTls
    return context


def new_session(user_agent: str, ca_file: str | None) -> requests.Session:
    """Return a session that keeps connections alive and nothing else: no cookies, proxies or .netrc."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
    adapter = Adapter(ca_file)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
