from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from sandbox.platforms._tiktok_life import sign
from tests.sandbox.client import TikTok
from tests.sandbox_server import Sim


class Receiver(HTTPServer):
    """Keeps (headers, body) of every call and answers with the next of `answers`, then 200."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], str]] = []
        self.answers: list[int] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def wait(self, count: int) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 10
        while len(self.calls) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return [json.loads(body) for _, body in self.calls]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:  # the library's name
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.calls.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(sim: Sim) -> Iterator[Receiver]:
    with Receiver() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        sim.settings(webhook_url=running.url)
        yield running
        sim.settings(webhook_url="")
        running.shutdown()
        thread.join()


def test_the_signature_is_the_documented_one() -> None:
    content = r"{\"publish_id\":\"v_pub_file~v2-1.1\",\"publish_type\":\"DIRECT_PUBLISH\"}"
    body = (
        '{"client_key":"ck","event":"post.publish.complete","create_time":1700000000,'
        f'"user_openid":"u1","content":"{content}"}}'
    )

    digest = "8572516bff5ad44bccebe69ef4bc7f5c13bc89bcf1d8bce7f7a668acd5ca6903"
    assert sign(body, "tt_secret", at=1_700_000_000) == {"TikTok-Signature": f"t=1700000000,s={digest}"}


def test_a_post_is_told_complete_then_public_with_a_true_signature(
    tiktok: TikTok, sim: Sim, receiver: Receiver
) -> None:
    publish_id = tiktok.publish()
    sim.advance(10)

    told = receiver.wait(2)
    headers, raw = receiver.calls[0]
    stamp, _, digest = headers["TikTok-Signature"].removeprefix("t=").partition(",s=")

    assert [notice["event"] for notice in told] == [
        "post.publish.complete",
        "post.publish.publicly_available",
    ]
    assert json.loads(told[0]["content"]) == {"publish_id": publish_id, "publish_type": "DIRECT_PUBLISH"}
    expected = hmac.new(b"sandbox-client-secret", f"{stamp}.{raw}".encode(), hashlib.sha256)
    assert digest == expected.hexdigest()


def test_a_failure_a_removal_and_a_withdrawn_consent_are_told(
    tiktok: TikTok, sim: Sim, receiver: Receiver
) -> None:
    tiktok.publish("[sim:fail=spam_risk]")
    tiktok.publish("[sim:late-reject]")
    sim.advance(20)
    sim.call("POST", "grants/revoke", json={"platform": "tiktok", "reason": 1})

    events = {notice["event"]: json.loads(notice["content"]) for notice in receiver.wait(5)}

    assert events["post.publish.failed"]["reason"] == "spam_risk"
    assert "post.publish.no_longer_publicaly_available" in events
    assert events["authorization.removed"] == {"reason": 1}


def test_notices_can_be_doubled_and_are_sent_again_until_taken(
    tiktok: TikTok, sim: Sim, receiver: Receiver
) -> None:
    receiver.answers = [500]
    sim.settings(webhook_copies=2)
    tiktok.publish("[sim:fail=internal]")
    sim.advance(10)

    told = receiver.wait(4)

    assert len(told) == 4
    assert {notice["event"] for notice in told} == {"post.publish.failed"}
