"""An S3 server that keeps nothing but lengths, hashes and the first bytes: python -m benchmarks.discarding_s3 PORT

What it gives back of a large object are those first bytes, and zeros. Small objects beside it are kept.
"""

from __future__ import annotations

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BLOCK = 1024 * 1024
HEAD = 1024 * 1024  # bytes kept of the first part; the rest of a file is taken for zeros
ZEROS = bytes(BLOCK)


class Discarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    parts: dict[int, tuple[int, bytes]] = {}
    head, size, etag = b"", 0, ""
    rests: dict[str, bytes] = {}  # small objects beside the large one, which are read again

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = type(self)
        if "uploads" in self.query:
            kind.parts, kind.etag = {}, ""
            self._answer(
                b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
            return
        digests = b"".join(kind.parts[number][1] for number in sorted(kind.parts))
        kind.size = sum(size for size, _ in kind.parts.values())
        kind.etag = f"{hashlib.md5(digests).hexdigest()}-{len(kind.parts)}"
        self._answer(b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def do_PUT(self) -> None:
        number, left, digest = int(self.query.get("partNumber", ["0"])[0]), self._length, hashlib.md5()
        size = left
        while left:
            piece = self.rfile.read(min(BLOCK, left))
            if number == 1 and left > size - HEAD:
                type(self).head = (self.head * (left < size) + piece)[:HEAD]
            left -= len(piece)
            digest.update(piece)
            if not number:
                self.rests[self.path] = self.rests.get(self.path, b"") * (left + len(piece) < size) + piece
        if number:
            self.parts[number] = (size, digest.digest())
        self._answer(b"", ETag=f'"{digest.hexdigest()}"')

    @property
    def _length(self) -> int:
        return int(self.headers["Content-Length"])

    def do_HEAD(self) -> None:
        if (rest := self.rests.get(self.path)) is not None:
            self._answer(b"", length=len(rest), ETag=f'"{hashlib.md5(rest).hexdigest()}"')
            return
        if not self.etag:
            self._answer(b"", status=404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.size))
        self.send_header("ETag", f'"{self.etag}"')
        self.end_headers()

    def do_GET(self) -> None:
        if "uploads" in self.query:
            self._answer(b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
            return
        if (rest := self.rests.get(self.path)) is not None:
            self._answer(rest)
            return
        asked = self.headers.get("Range")
        start, _, last = (asked or f"bytes=0-{self.size - 1}").removeprefix("bytes=").partition("-")
        self._give_back(int(start), int(last or self.size - 1) + 1, status=206 if asked else 200)

    def _give_back(self, start: int, stop: int, *, status: int) -> None:
        """Answer with the bytes from `start` up to `stop`: of the head what there is, then zeros."""
        self.send_response(status)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{self.size}")
        self.end_headers()
        while start < stop:
            piece = (self.head[start:] or ZEROS)[: stop - start]
            self.wfile.write(piece)
            start += len(piece)

    def do_DELETE(self) -> None:
        self._answer(b"", status=204)

    def _answer(self, body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Discarding).serve_forever()
