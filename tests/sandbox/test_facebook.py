"""Facebook's stand-in, asked by a plain client that follows the documentation and is not clever."""

from __future__ import annotations

import hashlib
import hmac
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from app.platforms._meta_callbacks import signed_request
from sandbox.state import CLIENT_ID, CLIENT_SECRET
from tests.clips import make_clip
from tests.sandbox.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture
from tests.sandbox_server import SandboxServer, Sim

BODY = b"a small reel, as far as the sandbox can tell"
CALLBACK = "http://127.0.0.1:9/callback"
UNEVEN = (
    "-vf",
    "select='not(eq(mod(n,7),3))'",
    "-fps_mode",
    "vfr",
)  # as phones film: some pictures stay longer


class Client:
    """An app with a Page's token: no retries, no cleverness."""

    def __init__(self, base_url: str, token: dict[str, Any]) -> None:
        self.base, self.page, self.token = f"{base_url}/facebook", token["remote_id"], token["access_token"]
        self.http = requests.Session()
        self.http.trust_env = False

    def graph(
        self, method: str, path: str, *, host: str = "graph.facebook", **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.base}/{host}/v26.0/{path}"
        return self.http.request(method, url, headers=headers, timeout=20, **options)

    def start(self) -> dict[str, Any]:
        answer = self.graph("POST", f"{self.page}/video_reels", data={"upload_phase": "start"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def send(
        self, url: str, body: bytes = BODY, *, offset: object = 0, size: int | None = None, **headers: Any
    ) -> Any:
        wanted = {"offset": str(offset), "file_size": str(len(BODY) if size is None else size)}
        given = {"Authorization": f"OAuth {self.token}"} | wanted | headers
        return requests.post(url, data=body, headers={k: v for k, v in given.items() if v}, timeout=20)

    def finish(self, video_id: str, **changes: str) -> requests.Response:
        form = {"upload_phase": "finish", "video_id": video_id, "video_state": "PUBLISHED"}
        form["description"] = "a caption"
        return self.graph("POST", f"{self.page}/video_reels", data=form | changes)

    def publish(self, **changes: str) -> str:
        made = self.start()
        assert self.send(made["upload_url"]).json()["success"] is True
        assert self.finish(made["video_id"], **changes).json() == {"success": True}
        return str(made["video_id"])

    def video(self, video_id: str, fields: str = "status,published,permalink_url") -> requests.Response:
        return self.graph("GET", video_id, params={"fields": fields})


def error(answer: requests.Response) -> tuple[int, int, int | None]:
    found = answer.json()["error"]
    return answer.status_code, found["code"], found.get("error_subcode")


@pytest.fixture
def client(server: SandboxServer, sim: Sim) -> Client:
    sim.settings(processing_seconds=0.0)
    return Client(server.base_url, sim.token(platform="facebook"))


def test_a_reel_is_a_post_from_the_finish_call_on(client: Client, sim: Sim) -> None:
    made = client.start()
    client.send(made["upload_url"])
    before = sim.count(platform="facebook")
    client.finish(made["video_id"])
    found = client.video(made["video_id"]).json()
    assert (before, sim.count(platform="facebook")) == (0, 1)
    assert found["status"]["publishing_phase"] == {"status": "complete", "publish_status": "published"}
    assert (found["published"], found["permalink_url"]) == (True, f"/reel/{made['video_id']}")


def test_the_permalink_shows_the_post(client: Client, sim: Sim) -> None:
    client.publish(description="Look at this")
    (made,) = sim.posts(platform="facebook")
    page = requests.get(made["permalink"], timeout=5)
    assert page.status_code == 200
    assert "Look at this" in page.text
    assert made["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_finishing_twice_is_refused_and_posts_once(client: Client, sim: Sim) -> None:
    video_id = client.publish()
    assert error(client.finish(video_id)) == (400, 100, 1366051)
    assert sim.count(platform="facebook") == 1


def test_an_upload_belongs_to_the_app_that_began_it(client: Client, server: SandboxServer, sim: Sim) -> None:
    """The same Page, connected by another app."""
    sim.call("POST", "clients", json={"platform": "facebook", "client_id": "other", "secret": "s"})
    body = {"platform": "facebook", "client_id": "other"}
    other, made = Client(server.base_url, sim.call("POST", "tokens", json=body)), client.start()
    assert error(other.send(made["upload_url"])) == (400, 100, 33)
    client.send(made["upload_url"])
    assert error(other.finish(made["video_id"])) == (400, 100, 33)
    assert sim.count(platform="facebook") == 0
    assert client.finish(made["video_id"]).json() == {"success": True}


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"offset": "5"}, "OffsetInvalidError"),
        ({"offset": ""}, "OffsetInvalidError"),
        ({"file_size": ""}, "OffsetInvalidError"),
        ({"file_size": "0"}, "PartialRequestError"),
        ({"file_size": "45"}, "PartialRequestError"),
        ({"file_size": "43"}, "PartialRequestError"),
    ],
)
def test_an_upload_that_does_not_add_up_is_refused(
    client: Client, headers: dict[str, str], kind: str
) -> None:
    wanted: dict[str, Any] = dict(headers)
    answer = client.send(client.start()["upload_url"], **wanted)
    assert (answer.status_code, answer.json()["debug_info"]["type"]) == (400, kind)


def test_an_upload_is_continued_at_the_offset_the_status_tells(client: Client, sim: Sim) -> None:
    made = client.start()
    sim.fault("facebook.upload", "store_partial", bytes=10)
    with pytest.raises(requests.ConnectionError):
        client.send(made["upload_url"])
    phase = client.video(made["video_id"]).json()["status"]["uploading_phase"]
    again = client.send(made["upload_url"], BODY[10:], offset=10)
    client.finish(made["video_id"])
    assert phase == {"status": "in_progress", "bytes_transfered": 10}
    assert again.json()["success"] is True
    assert [post["sha256"] for post in sim.posts(platform="facebook")] == [hashlib.sha256(BODY).hexdigest()]


def test_the_upload_host_wants_its_own_scheme(client: Client) -> None:
    answer = client.send(client.start()["upload_url"], Authorization=f"Bearer {client.token}")
    assert error(answer) == (401, 190, 467)


def test_an_unfinished_upload_cannot_be_published(client: Client, sim: Sim) -> None:
    answer = client.finish(client.start()["video_id"])
    assert error(answer) == (400, 6001, None)
    assert sim.count() == 0


@pytest.mark.parametrize(
    "change", [{"video_state": "DRAFT"}, {"description": "x" * 2201}, {"upload_phase": "end"}]
)
def test_a_finish_call_that_breaks_a_rule_is_refused(
    client: Client, sim: Sim, change: dict[str, str]
) -> None:
    made = client.start()
    client.send(made["upload_url"])
    assert error(client.finish(made["video_id"], **change))[:2] == (400, 100)
    assert sim.count() == 0


def test_another_pages_token_does_nothing_here(client: Client, server: SandboxServer, sim: Sim) -> None:
    other = Client(server.base_url, sim.token("sandbox_second", platform="facebook"))
    video_id = client.publish()
    assert error(other.video(video_id)) == (400, 100, 33)
    other.page = client.page
    assert error(other.graph("POST", f"{client.page}/video_reels", data={"upload_phase": "start"}))[1] == 200


def test_a_missing_permission_is_named(server: SandboxServer, sim: Sim) -> None:
    reader = Client(server.base_url, sim.token(platform="facebook", scopes=["pages_show_list"]))
    answer = reader.graph("POST", f"{reader.page}/video_reels", data={"upload_phase": "start"})
    assert error(answer) == (403, 200, None)
    assert "pages_manage_posts" in answer.json()["error"]["message"]


def test_a_day_over_an_unfinished_upload_is_gone(client: Client, sim: Sim) -> None:
    made = client.start()
    sim.advance(86_401)
    assert client.video(made["video_id"]).json()["status"]["video_status"] == "expired"
    assert error(client.finish(made["video_id"])) == (400, 100, 33)
    assert error(client.send(made["upload_url"])) == (400, 100, 33)


def test_a_page_has_thirty_reels_a_day(client: Client, sim: Sim) -> None:
    sim.settings(rate_limits=True)
    for _ in range(30):
        client.publish()
    made = client.start()
    client.send(made["upload_url"])
    refused = client.finish(made["video_id"])
    sim.advance(86_000)
    assert error(refused) == (400, 80001, None)
    assert "estimated_time_to_regain_access" in refused.headers["X-Business-Use-Case-Usage"]
    assert sim.count(platform="facebook") == 30


def test_every_answer_tells_the_apps_usage(client: Client) -> None:
    assert '"call_count"' in client.video(client.publish()).headers["X-App-Usage"]


# -- longer videos


def part(client: Client, session: str, start: str, body: bytes) -> requests.Response:
    form = {"upload_phase": "transfer", "upload_session_id": session, "start_offset": start}
    files = {"video_file_chunk": ("part", body, "video/mp4")}
    return client.graph("POST", f"{client.page}/videos", host="graph-video", data=form, files=files)


def test_a_video_goes_in_the_parts_the_server_names(client: Client, sim: Sim) -> None:
    body = bytes(3_000_000)
    begun = client.graph(
        "POST",
        f"{client.page}/videos",
        host="graph-video",
        data={"upload_phase": "start", "file_size": "3000000"},
    ).json()
    session, first = begun["upload_session_id"], int(begun["end_offset"])
    wrong = part(client, session, "7", body[:first])
    second = part(client, session, "0", body[:first]).json()
    short = part(client, session, second["start_offset"], body[first:-1])
    last = part(client, session, second["start_offset"], body[first:]).json()
    form = {"upload_phase": "finish", "upload_session_id": session, "description": "long"}
    done = client.graph("POST", f"{client.page}/videos", host="graph-video", data=form)
    assert error(wrong) == error(short) == (400, 6001, 1363037)
    assert wrong.json()["error"]["error_data"] == {"start_offset": "0", "end_offset": str(first)}
    assert last == {"start_offset": "3000000", "end_offset": "3000000"}
    assert done.json() == {"success": True}
    assert [post["sha256"] for post in sim.posts(caption="long")] == [hashlib.sha256(body).hexdigest()]


# -- measured from the bytes


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ({"size": "720x1280", "rate": "30", "seconds": 4}, None),
        ({"size": "720x1280", "rate": "10", "seconds": 4}, 1363129),
        ({"size": "720x1280", "rate": "30", "seconds": 4, "extra": UNEVEN}, 1363129),
        ({"size": "720x1280", "rate": "30", "seconds": 1}, 1363128),
        ({"size": "360x640", "rate": "30", "seconds": 4}, 1363127),
        ({"size": "960x960", "rate": "30", "seconds": 4}, 1363040),
    ],
)
def test_a_reel_is_judged_by_its_bytes(
    client: Client, sim: Sim, tmp_path: Path, shape: dict[str, Any], code: int | None
) -> None:
    sim.settings(measure_media=True)
    data = make_clip(tmp_path / "clip.mp4", **shape).read_bytes()
    made = client.start()
    client.send(made["upload_url"], data, size=len(data))
    answer = client.finish(made["video_id"])
    errors = client.video(made["video_id"]).json()["status"]["processing_phase"].get("errors", [])
    assert (error(answer)[2] if answer.status_code == 400 else None) == code
    assert [found["code"] for found in errors] == ([code] if code else [])


# -- comments, figures


def test_comments_are_counted_and_listed(client: Client, sim: Sim) -> None:
    video_id = client.publish()
    made = client.graph("POST", f"{video_id}/comments", data={"message": "First"}).json()
    listed = client.graph("GET", f"{video_id}/comments").json()["data"]
    assert [(item["id"], item["message"], item["from"]["id"]) for item in listed] == [
        (made["id"], "First", client.page)
    ]
    assert len(sim.comments(platform="facebook", post_id=video_id)) == 1


def test_one_unknown_metric_fails_all_and_one_of_another_kind_is_empty(client: Client) -> None:
    video_id, own = client.publish(), "blue_reels_play_count"
    mixed = client.graph("GET", f"{video_id}/video_insights", params={"metric": f"{own},nonsense"})
    other = client.graph("GET", f"{video_id}/video_insights", params={"metric": "total_video_views"})
    right = client.graph("GET", f"{video_id}/video_insights", params={"metric": own})
    assert error(mixed) == (400, 100, None)
    assert other.json() == {"data": []}
    assert right.json()["data"][0]["values"] == [{"value": 5}]


# -- logging in


def authorize(client: Client, **changes: str) -> dict[str, str]:
    query = {"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "state": "s", "response_type": "code"}
    query |= {"scope": "pages_show_list,pages_manage_posts", "auto": "approve"} | changes
    answer = client.http.get(
        f"{client.base}/www/v26.0/dialog/oauth", params=query, allow_redirects=False, timeout=5
    )
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def token(client: Client, **query: str) -> requests.Response:
    known = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | query
    return client.http.get(f"{client.base}/graph.facebook/v26.0/oauth/access_token", params=known, timeout=5)


def test_a_code_gives_a_short_token_and_that_a_long_one(client: Client) -> None:
    code = authorize(client)["code"]
    short = token(client, code=code, redirect_uri=CALLBACK).json()
    again = token(client, code=code, redirect_uri=CALLBACK)
    long = token(client, grant_type="fb_exchange_token", fb_exchange_token=short["access_token"]).json()
    assert (short["expires_in"], long["expires_in"]) == (5_000, 5_183_944)
    assert error(again) == (400, 100, 36009)


def test_the_secret_the_redirect_and_the_proof_must_be_right(client: Client) -> None:
    code = authorize(client)["code"]
    assert error(token(client, code=code, redirect_uri=CALLBACK, client_secret="x")) == (400, 101, None)
    assert error(token(client, code=code, redirect_uri=f"{CALLBACK}/"))[1] == 100
    right = hmac.new(CLIENT_SECRET.encode(), client.token.encode(), hashlib.sha256).hexdigest()
    answers = [client.graph("GET", "me", params={"appsecret_proof": proof}) for proof in (right, "0" * 64)]
    assert [answer.status_code for answer in answers] == [200, 400]


def test_an_app_hears_of_a_consent_taken_back_and_of_data_to_delete(
    client: Client,
    receiver: Receiver,  # noqa: F811
    sim: Sim,
) -> None:
    sim.settings(webhook_url=receiver.url + "?{platform}/{purpose}")
    sim.call("POST", "grants/revoke", json={"platform": "facebook", "reason": 2})
    told = _deliveries(sim, 2)
    payloads = [signed_request(call["body"].encode(), [CLIENT_SECRET]) for call in told]
    assert {payload["algorithm"] for payload in payloads} == {"HMAC-SHA256"}
    assert len({payload["user_id"] for payload in payloads}) == 1
    purposes = sorted(call["url"].partition("?")[2] for call in told)
    assert purposes == ["facebook/data-deletion", "facebook/deauthorize"]


def _deliveries(sim: Sim, count: int) -> list[dict[str, Any]]:
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        found = sim.call("GET", "webhooks")["deliveries"]
        if len(found) >= count:
            return list(found)
        time.sleep(0.05)
    raise AssertionError("nothing was delivered")
