"""Remembers every request the sandbox was sent, in memory, the last 20,000 of them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter, deque
from typing import Any

from flask import Flask, Response, g, request

from sandbox.clock import isoformat

_KEPT = 20_000
_SMALL = 64 * 1024
_SECRET = {
    "client_secret", "access_token", "refresh_token", "token", "code", "code_verifier", "upload_token",
    "fb_exchange_token", "input_token", "appsecret_proof", "signed_request",
}  # fmt: skip
_TEXTUAL = ("application/json", "application/x-www-form-urlencoded")


class Recorder:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()

    def add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._entries.append(entry)
            self._counts[entry["operation"]] += 1

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._counts.clear()

    def counts(self) -> dict[str, int]:
        """Return how often each operation was asked since the last clear."""
        with self._lock:
            return dict(self._counts)

    def find(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        """Return the entries whose fields, as text, equal the wanted ones; oldest first."""
        with self._lock:
            entries = list(self._entries)
        return [e for e in entries if all(str(e.get(name)) == value for name, value in wanted.items())]


def init_app(app: Flask, recorder: Recorder) -> None:
    """Record each request to a platform; the sandbox's own pages and control calls are not recorded."""

    @app.before_request
    def arrived() -> None:
        g.received_at = time.time()
        if request.mimetype in _TEXTUAL and (request.content_length or 0) <= _SMALL:
            request.get_data(cache=True)  # a dropped request is recorded with its body as well

    @app.after_request
    def answered(response: Response) -> Response:
        if request.blueprint not in (None, "control", "feed"):
            recorder.add(_entry(request.blueprint.partition(".")[0], response))
        return response


def _entry(platform: str, response: Response) -> dict[str, Any]:
    fault = g.get("fault")
    return {
        "at": isoformat(g.received_at),
        "seconds": round(time.time() - g.received_at, 6),
        "platform": platform,
        "operation": g.get("operation", f"{platform}.page"),
        "method": request.method,
        "path": request.path,
        "query": _mask(request.args.to_dict()),
        "headers": {name: _shown(name, value) for name, value in request.headers.items()},
        "body": _body(),
        "account": g.get("account"),
        "status": None if g.get("dropped") else response.status_code,
        "error": g.get("error_code"),
        "fault": fault.action if fault else None,
    }


def _body() -> Any:
    if request.mimetype not in _TEXTUAL or (request.content_length or 0) > _SMALL:
        return None
    if request.mimetype == _TEXTUAL[1]:
        return _mask(request.form.to_dict())
    try:
        return _mask(json.loads(request.get_data() or b"null"))
    except ValueError:
        return request.get_data(as_text=True)


def _mask(value: Any) -> Any:
    """Replace secrets by their fingerprints: enough to see whether two are the same."""
    if not isinstance(value, dict):
        return value
    return {k: _fingerprint(str(v)) if k in _SECRET else _mask(v) for k, v in value.items()}


def _shown(name: str, value: str) -> str:
    if name.lower() != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return f"{scheme} {_fingerprint(token)}"


def _fingerprint(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()[:16]
