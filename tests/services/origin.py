"""Somebody's web server, from which videos are imported: what it does with each request is told beforehand."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

DRIPS, DRIP_SECONDS = 100, 0.05  # so many single bytes, so far apart


@dataclass
class Origin:
    """Somebody's web server. `ways` is what it does with each request in turn; the last one stays."""

    data: bytes = b""
    ways: list[str] = field(default_factory=lambda: ["whole"])
    asked: list[dict[str, str]] = field(default_factory=list)
    etag: str | None = '"1"'
    url: str = ""

    def next_way(self) -> str:
        return self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]


class Handler(BaseHTTPRequestHandler):
    origin: Origin
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.origin.asked.append({"path": self.path, **self.headers})
        way = self.origin.next_way()
        self.close_connection = True
        if way.isdigit():
            self.send_error(int(way))
            return
        if way == "drips its head":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * DRIPS)
            return
        if way.startswith("to "):
            self.send_response(302)
            self.send_header("Location", way[3:])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(way)

    def _send(self, way: str) -> None:
        start = self._start(way)
        body = self.origin.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(self.origin.data) - 1}/{len(self.origin.data)}"
            )
        if way != "unknown length":
            self.send_header("Content-Length", str(10**12 if way == "endless" else len(body)))
        if self.origin.etag:
            self.send_header("ETag", self.origin.etag)
        if way == "packed":
            self.send_header("Content-Encoding", "gzip")
        if way != "no ranges":
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if way == "drips":
            self._drip(body)
        else:
            self.wfile.write(body[: len(body) // 2] if way == "breaks" else body)

    def _drip(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody waits for it
            for number in range(DRIPS):
                self.wfile.write(data[number : number + 1])
                time.sleep(DRIP_SECONDS)

    def _start(self, way: str) -> int:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if asked is None or way == "no ranges" or condition != self.origin.etag:
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
