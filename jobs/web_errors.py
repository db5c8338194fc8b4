"""What gunicorn refuses before the application sees it (broken request lines and headers), in the one envelope."""

from __future__ import annotations

import json
import socket

from gunicorn import util  # type: ignore[import-untyped]

from app.error_handlers import HTTP_ERRORS


def install() -> None:
    """Let gunicorn answer in our words instead of HTML that repeats what it was sent."""
    util.write_error = write_error


def write_error(sock: socket.socket, status: int, reason: str, _message: str) -> None:
    """Answer an error and close. gunicorn calls this with the status it found; what was wrong is in the log."""
    code, message = HTTP_ERRORS.get(status, HTTP_ERRORS[500 if status >= 500 else 400])
    body = json.dumps({"error": {"code": code, "message": message, "details": {}}}) + "\n"
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, (head + body).encode("latin1"))
