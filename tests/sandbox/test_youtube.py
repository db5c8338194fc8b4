"""The YouTube stand-in is as strict as the real service; Google's own client library gets on with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sandbox.platforms._youtube_rules import GRAIN, PREFIX
from sandbox.state import CLIENT_ID, CLIENT_SECRET
from tests.platforms.sources import some_bytes
from tests.sandbox.youtube import BODY, YouTube, reason
from tests.sandbox_server import SandboxServer, Sim


@pytest.fixture
def youtube(server: SandboxServer, sim: Sim) -> Iterator[YouTube]:
    sim.settings(processing_seconds=0.0)
    app = YouTube(server.base_url, sim.token(platform="youtube")["access_token"])
    yield app
    app.http.close()


# -- sessions


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"title": ""}, "invalidTitle"),
        ({"title": "x" * 101}, "invalidTitle"),
        ({"title": "<"}, "invalidTitle"),
        ({"description": "é" * 2501}, "invalidDescription"),
        ({"tags": ["x" * 501]}, "invalidTags"),
        ({"tags": ["x y"] * 84}, "invalidTags"),
        ({"categoryId": 22}, "invalidCategoryId"),
        ({"privacyStatus": "secret"}, "invalidVideoMetadata"),
        ({"publishAt": "2020-01-01T00:00:00Z"}, "invalidPublishAt"),
        ({"embeddable": "yes"}, "invalidVideoMetadata"),
    ],
)
def test_wrong_metadata_is_refused_before_any_byte(
    youtube: YouTube, changes: dict[str, Any], code: str
) -> None:
    assert reason(youtube.session(**changes)) == (400, code)


def test_texts_at_their_limits_are_taken(youtube: YouTube) -> None:
    assert youtube.session(title="x" * 100, description="é" * 2500, tags=["x y"] * 83).status_code == 200


def test_chunks_come_in_order_and_in_grains(youtube: YouTube) -> None:
    url = youtube.start()
    uneven = youtube.put(url, BODY[: GRAIN - 1])
    gap = youtube.put(url, BODY[GRAIN:], GRAIN)
    nothing = youtube.ask(url)
    first = youtube.put(url, BODY[:GRAIN])
    again = youtube.put(url, BODY[:GRAIN])
    last = youtube.put(url, BODY[GRAIN:], GRAIN)
    assert [answer.status_code for answer in (uneven, gap, nothing, first, again, last)] == [
        *(400, 400, 308, 308, 400, 200)
    ]
    assert "Range" not in nothing.headers
    assert first.headers["Range"] == f"bytes=0-{GRAIN - 1}"
    assert youtube.ask(url).json()["id"] == last.json()["id"]


def test_a_chunk_needs_its_length_and_the_right_total(youtube: YouTube) -> None:
    url = youtube.start()
    endless = youtube.http.put(
        url, data=iter([b"x"]), headers={"Content-Range": f"bytes 0-0/{len(BODY)}"}, allow_redirects=False
    )
    wrong = youtube.put(url, BODY, total=len(BODY) + 1)
    assert (endless.status_code, wrong.status_code) == (411, 400)


def test_a_session_belongs_to_its_project_and_ends(server: SandboxServer, youtube: YouTube, sim: Sim) -> None:
    url = youtube.start()
    sim.call("POST", "clients", json={"platform": "youtube", "client_id": "other", "secret": "s"})
    body = {"platform": "youtube", "client_id": "other"}
    foreign = YouTube(server.base_url, sim.call("POST", "tokens", json=body)["access_token"])
    stranger = YouTube(server.base_url, "act.nobody")
    statuses = [foreign.put(url, BODY).status_code, stranger.put(url, BODY).status_code]
    sim.settings(upload_session_seconds=0.0)
    dead = youtube.put(youtube.start(), BODY)
    assert (statuses, dead.status_code) == ([403, 401], 404)


def test_half_a_chunk_is_kept_in_grains(youtube: YouTube, sim: Sim) -> None:
    body = some_bytes(3 * GRAIN)
    url = youtube.start(size=len(body))
    sim.fault("youtube.last_chunk", "store_partial", bytes=GRAIN + 5000)
    with pytest.raises(requests.ConnectionError):
        youtube.put(url, body, total=len(body))
    assert youtube.ask(url, len(body)).headers["Range"] == f"bytes=0-{GRAIN - 1}"


# -- videos


def test_a_new_video_may_be_missing_from_answers_for_a_while(youtube: YouTube, sim: Sim) -> None:
    sim.settings(list_lag_seconds=60.0)
    video_id = youtube.upload()
    before = youtube.status(video_id)
    sim.advance(61)
    assert (before, youtube.status(video_id)["privacyStatus"]) == ({}, "private")


def test_a_private_video_is_no_post_until_its_privacy_is_set(youtube: YouTube, sim: Sim) -> None:
    video_id = youtube.upload()
    before = sim.count(platform="youtube")
    first, again = (youtube.update(video_id, privacyStatus="public") for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert (before, sim.count(platform="youtube")) == (0, 1)


def test_an_upload_without_a_privacy_is_public_at_once(youtube: YouTube, sim: Sim) -> None:
    youtube.upload(privacyStatus="public")
    assert sim.count(platform="youtube") == 1


def test_what_an_update_leaves_out_is_wiped(youtube: YouTube) -> None:
    video_id = youtube.upload(license="creativeCommon", embeddable=False)
    youtube.update(video_id, privacyStatus="unlisted")
    status = youtube.status(video_id)
    assert (status["license"], status["embeddable"], status["privacyStatus"]) == ("youtube", True, "unlisted")


def test_processing_takes_its_time_and_may_end_badly(youtube: YouTube, sim: Sim) -> None:
    sim.settings(processing_seconds=60.0)
    fine, bad = youtube.upload(), youtube.upload(title="[sim:fail=copyright]")
    before = [youtube.status(video_id)["uploadStatus"] for video_id in (fine, bad)]
    sim.advance(61)
    after = [youtube.status(video_id)["uploadStatus"] for video_id in (fine, bad)]
    assert (before, after) == (["uploaded", "uploaded"], ["processed", "rejected"])


def test_what_is_no_video_fails_when_it_is_processed(youtube: YouTube, sim: Sim) -> None:
    sim.settings(measure_media=True)
    video_id = youtube.upload()
    sim.advance(61)
    status = youtube.status(video_id)
    assert (status["uploadStatus"], status["failureReason"]) == ("failed", "invalidFile")


def test_others_see_no_private_videos_and_may_change_none(
    server: SandboxServer, youtube: YouTube, sim: Sim
) -> None:
    hidden, shown = youtube.upload(), youtube.upload(privacyStatus="public")
    other = YouTube(server.base_url, sim.token("sandbox_second", platform="youtube")["access_token"])
    assert other.status(hidden) == {}
    assert other.status(shown)["privacyStatus"] == "public"
    assert reason(other.update(shown, privacyStatus="private")) == (403, "forbidden")


def test_each_call_needs_its_scope(server: SandboxServer, sim: Sim) -> None:
    token = sim.token(platform="youtube", scopes=[f"{PREFIX}youtube.upload"])["access_token"]
    app = YouTube(server.base_url, token)
    refusals = [app.update("x"), app.comment("x", "y"), app.call("GET", "videos?part=status&id=x")]
    assert app.session().status_code == 200
    assert {reason(answer) for answer in refusals} == {(403, "insufficientPermissions")}


def test_deleting_is_for_once(youtube: YouTube, sim: Sim) -> None:
    video_id = youtube.upload(privacyStatus="public")
    gone, again = (youtube.call("DELETE", f"videos?id={video_id}") for _ in range(2))
    (post,) = sim.posts(platform="youtube")
    assert (gone.status_code, reason(again), post["removed"]) == (204, (404, "videoNotFound"), True)


def test_a_browser_finds_the_video_on_both_pages(server: SandboxServer, youtube: YouTube, sim: Sim) -> None:
    video_id = youtube.upload(privacyStatus="public")
    pages = [
        requests.get(f"{server.base_url}/youtube/{path}{video_id}", timeout=5)
        for path in ("watch?v=", "shorts/")
    ]
    (post,) = sim.posts(platform="youtube")
    assert [page.status_code for page in pages] == [200, 200]
    assert "default-src 'none'" in pages[0].headers["Content-Security-Policy"]
    assert requests.get(post["file_url"], timeout=5).content == BODY


def test_the_uploads_playlist_holds_private_videos_newest_first(youtube: YouTube) -> None:
    made = [youtube.upload() for _ in range(3)]
    channel = youtube.call("GET", "channels?part=contentDetails&mine=true").json()["items"][0]
    playlist = channel["contentDetails"]["relatedPlaylists"]["uploads"]
    url = f"playlistItems?part=contentDetails&playlistId={playlist}&maxResults=2"
    items = youtube.call("GET", url).json()["items"]
    assert [item["contentDetails"]["videoId"] for item in items] == made[:0:-1]


def test_figures_come_for_up_to_fifty_videos(youtube: YouTube) -> None:
    video_id = youtube.upload(privacyStatus="public")
    youtube.comment(video_id, "hello")
    told = youtube.call("GET", f"videos:batchGetStats?part=statistics&id={video_id}&id=nobody").json()
    many = youtube.call("GET", "videos:batchGetStats?part=statistics" + "&id=x" * 51)
    assert [item["statistics"]["commentCount"] for item in told["items"]] == ["1"]
    assert many.status_code == 400


# -- thumbnails and comments


def test_a_short_gets_its_thumbnail_only_once_processed(youtube: YouTube, sim: Sim) -> None:
    sim.settings(processing_seconds=60.0)
    video_id = youtube.upload()
    early = youtube.thumbnail(video_id)
    sim.advance(61)
    done, broken = youtube.thumbnail(video_id), youtube.thumbnail(video_id, b"GIF89a")
    sim.settings(channel_verified=False)
    unverified = youtube.thumbnail(video_id)
    assert [answer.status_code for answer in (early, done, broken, unverified)] == [403, 200, 400, 403]


@pytest.mark.parametrize("status", [{"privacyStatus": "private"}, {"selfDeclaredMadeForKids": True}])
def test_some_videos_take_no_comments(youtube: YouTube, sim: Sim, status: dict[str, Any]) -> None:
    video_id = youtube.upload(**({"privacyStatus": "public"} | status))
    assert reason(youtube.comment(video_id, "hello")) == (403, "commentsDisabled")
    assert sim.comments(platform="youtube") == []


# -- quotas


def test_uploads_are_counted_by_pacific_days(youtube: YouTube, sim: Sim) -> None:
    sim.settings(daily_uploads=1, access_token_seconds=1e9)
    sim.call("POST", "clock", json={"set": datetime(2026, 11, 30, 7, 54, tzinfo=UTC).timestamp()})
    youtube.http.headers["Authorization"] = f"Bearer {sim.token(platform='youtube')['access_token']}"
    first, second = youtube.session(), youtube.session()
    sim.advance(600)
    assert (first.status_code, reason(second)) == (200, (403, "quotaExceeded"))
    assert youtube.session().status_code == 200


def test_units_are_used_up_by_their_price(youtube: YouTube, sim: Sim) -> None:
    video_id = youtube.upload()
    sim.settings(daily_units=51)
    answers = [youtube.update(video_id, privacyStatus="private") for _ in range(2)]
    assert answers[0].status_code == 200
    assert reason(answers[1]) == (403, "quotaExceeded")


# -- grants


def test_refreshing_keeps_the_refresh_token_and_revoking_ends_all(server: SandboxServer, sim: Sim) -> None:
    token, base = sim.token(platform="youtube"), f"{server.base_url}/youtube"
    form = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "refresh_token"}
    form["refresh_token"] = token["refresh_token"]
    first = requests.post(f"{base}/token", data=form, timeout=5)
    revoked = requests.post(f"{base}/revoke", data={"token": token["refresh_token"]}, timeout=5)
    dead = requests.post(f"{base}/token", data=form, timeout=5)
    assert "refresh_token" not in first.json()
    assert (revoked.status_code, dead.status_code, dead.json()["error"]) == (200, 400, "invalid_grant")
