from __future__ import annotations

import requests

from sandbox.posts import MARKERS
from tests.sandbox.client import BODY, TikTok
from tests.sandbox_server import SandboxServer, Sim


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=5)


def test_the_index_documents_every_marker_and_operation(server: SandboxServer, sim: Sim) -> None:
    page = get(server.base_url)

    assert page.status_code == 200
    assert all(marker in page.text for marker in MARKERS)
    assert "tiktok.last_chunk" in page.text


def test_the_feed_shows_the_newest_post_first(tiktok: TikTok, server: SandboxServer, sim: Sim) -> None:
    tiktok.publish("the first")
    sim.advance(1)
    tiktok.publish("the second")

    page = get(f"{server.base_url}/feed?platform=tiktok").text

    assert page.index("the second") < page.index("the first")


def test_a_post_page_plays_the_file_and_escapes_the_caption(tiktok: TikTok, sim: Sim) -> None:
    tiktok.publish("<script>alert(1)</script>")
    tiktok.publish("the same video")
    (post,) = sim.posts(caption="<script>alert(1)</script>")

    page = get(post["permalink"])

    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert f'<video controls playsinline preload="metadata" src="/files/{post["id"]}">' in page.text
    assert f"<code>{post['sha256']}</code>" in page.text
    assert "<dt>Posts with this content</dt><dd>2</dd>" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]


def test_the_stored_file_comes_unchanged_whole_or_in_part(tiktok: TikTok, sim: Sim) -> None:
    tiktok.publish()
    url = sim.posts()[0]["file_url"]

    whole, part, head = get(url), get(url, Range="bytes=2-5"), requests.head(url, timeout=5)

    assert (whole.content, whole.headers["Content-Type"]) == (BODY, "video/mp4")
    assert (part.status_code, part.content) == (206, BODY[2:6])
    assert (head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (str(len(BODY)), "bytes")


def test_a_removed_post_is_gone_with_its_reason(tiktok: TikTok, sim: Sim) -> None:
    tiktok.publish()
    sim.remove_post(sim.posts()[0]["id"], reason="copyright")

    page = get(sim.posts()[0]["permalink"])

    assert page.status_code == 410
    assert "copyright" in page.text
    assert "<video" not in page.text


def test_what_was_never_posted_has_no_page(server: SandboxServer, sim: Sim) -> None:
    for path in ("files/1", "files/../sandbox.db", "tiktok/@sandbox_creator/video/1", "tiktok/@nobody"):
        assert get(f"{server.base_url}/{path}").status_code == 404
