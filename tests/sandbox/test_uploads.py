from __future__ import annotations

import hashlib
import http.client
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.client import BODY, TikTok
from tests.sandbox_server import Sim

PLAN = (12_000_000, 5_000_000, 2)
VIDEO = bytes(range(250)) * 48_000
FIRST, LAST = VIDEO[:5_000_000], VIDEO[5_000_000:]


def put_raw(url: str, headers: dict[str, str], body: bytes = b"") -> int:
    """PUT exactly these headers and bytes, with no Content-Length of the library's own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_chunks_in_order_make_one_post_of_exactly_these_bytes(tiktok: TikTok, sim: Sim) -> None:
    url = tiktok.start("in order", plan=PLAN)["upload_url"]

    answers = [
        tiktok.put(url, FIRST, total=len(VIDEO)),
        tiktok.put(url, LAST, start=5_000_000, total=len(VIDEO)),
    ]
    (post,) = sim.posts(caption="in order")

    assert [answer.status_code for answer in answers] == [206, 201]
    assert answers[0].headers["Content-Range"] == "bytes 0-5000000/12000000"
    assert post["sha256"] == hashlib.sha256(VIDEO).hexdigest()
    assert requests.get(post["file_url"], timeout=10).content == VIDEO


def test_nothing_is_posted_before_the_last_chunk(tiktok: TikTok, sim: Sim) -> None:
    handle = tiktok.start(plan=PLAN)
    tiktok.put(handle["upload_url"], FIRST, total=len(VIDEO))

    assert sim.count() == 0
    assert tiktok.status(handle["publish_id"])["uploaded_bytes"] == 5_000_000


@pytest.mark.parametrize(("counts", "shown"), [("bytes", "5000000"), ("last_index", "4999999")])
def test_a_chunk_out_of_order_is_told_the_true_progress(
    tiktok: TikTok, sim: Sim, counts: str, shown: str
) -> None:
    sim.settings(content_range_counts=counts)
    url = tiktok.start(plan=PLAN)["upload_url"]
    tiktok.put(url, FIRST, total=len(VIDEO))

    again = tiktok.put(url, FIRST, total=len(VIDEO))

    assert (again.status_code, again.headers["Content-Range"]) == (416, f"bytes 0-{shown}/12000000")


def test_a_last_chunk_sent_again_never_makes_a_second_post(tiktok: TikTok, sim: Sim) -> None:
    url = tiktok.start("once")["upload_url"]

    statuses = [tiktok.put(url).status_code for _ in range(3)]

    assert statuses == [201, 416, 416]
    assert sim.count(caption="once") == 1


def test_of_two_last_chunks_at_the_same_time_one_counts(tiktok: TikTok, sim: Sim) -> None:
    url, statuses = tiktok.start("both")["upload_url"], []
    threads = [
        threading.Thread(target=lambda: statuses.append(tiktok.put(url).status_code)) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [201] + [416] * 7
    assert sim.count(caption="both") == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"Content-Type": "application/octet-stream"}, 400),
        ({"Content-Range": ""}, 400),
        ({"Content-Range": f"bytes 0-{len(BODY)}/{len(BODY)}"}, 400),
        ({"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY) + 1}"}, 400),
        ({"Content-Range": f"bytes 0-{len(BODY) - 2}/{len(BODY)}"}, 400),
        ({"Content-Length": None}, 400),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, 400),
    ],
)
def test_headers_must_be_right(tiktok: TikTok, sim: Sim, change: dict[str, Any], status: int) -> None:
    right = {"Content-Type": "video/mp4", "Content-Length": str(len(BODY))}
    right |= {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}
    headers = {name: value for name, value in (right | change).items() if value is not None}
    body = b"0\r\n\r\n" if "Transfer-Encoding" in headers else BODY
    body = body if len(headers) > 2 else b""

    assert put_raw(tiktok.start("headers")["upload_url"], headers, body) == status
    assert sim.count(caption="headers") == int(status == 201)


def test_a_range_that_ends_inside_a_chunk_is_refused(tiktok: TikTok) -> None:
    url = tiktok.start(plan=PLAN)["upload_url"]

    assert tiktok.put(url, VIDEO[:6_000_000], total=len(VIDEO)).status_code == 400


def test_a_client_that_goes_away_leaves_nothing(tiktok: TikTok, sim: Sim) -> None:
    handle = tiktok.start("gone")
    parts = urlsplit(handle["upload_url"])
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    headers = {"Content-Type": "video/mp4", "Content-Length": str(len(BODY))}
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    for name, value in (headers | {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}).items():
        connection.putheader(name, value)
    connection.endheaders(BODY[:10])
    connection.close()

    assert tiktok.status(handle["publish_id"])["uploaded_bytes"] == 0
    assert tiktok.put(handle["upload_url"]).status_code == 201


@pytest.mark.parametrize("end", ["upload_token=wrong", "upload_token=", "nothing=1"])
def test_a_wrong_upload_token_is_unknown(tiktok: TikTok, end: str) -> None:
    url = tiktok.start()["upload_url"].partition("upload_token=")[0] + end

    assert tiktok.put(url).status_code == 404


def test_an_upload_url_lives_an_hour(tiktok: TikTok, sim: Sim) -> None:
    young, old = tiktok.start("young")["upload_url"], tiktok.start("old")["upload_url"]

    sim.advance(3_590)
    in_time = tiktok.put(young).status_code
    sim.advance(20)

    assert (in_time, tiktok.put(old).status_code) == (201, 403)
    assert tiktok.put(young).status_code == 416


def test_a_large_refused_body_still_gets_its_answer(tiktok: TikTok) -> None:
    url = tiktok.start(plan=PLAN)["upload_url"]

    assert tiktok.put(url, LAST, start=5_000_000, total=len(VIDEO)).status_code == 416
