"""Instagram's stand-in refuses what Instagram refuses; spoken to by a client that knows only the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.platforms._instagram_rules import FACEBOOK_SCOPES, FILE_MAX, INSTAGRAM_SCOPES, size_fault
from tests.clips import make_clip
from tests.sandbox_server import SandboxServer, Sim

BODY = b"a small video, as far as the sandbox can tell"


class Instagram:
    """An app with a token of one flavour for one account."""

    def __init__(self, base_url: str, token: dict[str, Any], *, host: str = "graph.facebook") -> None:
        self.base, self.account = f"{base_url}/instagram/{host}/v26.0", token["remote_id"]
        self.token = token["access_token"]
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def create(self, **fields: str) -> requests.Response:
        form = {"media_type": "REELS", "upload_type": "resumable", "caption": "a caption"} | fields
        form = {name: value for name, value in form.items() if value}
        return self.http.post(f"{self.base}/{self.account}/media", data=form)

    def send(self, uri: str, body: bytes = BODY, *, offset: int = 0, size: int | None = None) -> Any:
        headers = {"Authorization": f"OAuth {self.token}", "offset": str(offset)}
        headers |= {"file_size": str(size or len(body)), "Content-Type": "application/octet-stream"}
        return self.http.post(uri, data=body, headers=headers)

    def filled(self, body: bytes = BODY, **fields: str) -> str:
        made = self.create(**fields).json()
        assert self.send(made["uri"], body).json()["success"] is True
        return str(made["id"])

    def get(self, node: str, fields: str = "status_code,status") -> Any:
        return self.http.get(f"{self.base}/{node}", params={"fields": fields}).json()

    def publish(self, container: str) -> requests.Response:
        return self.http.post(f"{self.base}/{self.account}/media_publish", data={"creation_id": container})


@pytest.fixture
def app(server: SandboxServer, sim: Sim) -> Instagram:
    sim.settings(processing_seconds=0.0, moderation_seconds=0.0)
    token = sim.token(platform="instagram", scopes=sorted(FACEBOOK_SCOPES))
    return Instagram(server.base_url, token)


@pytest.fixture
def own(server: SandboxServer, sim: Sim) -> Instagram:
    token = sim.token(platform="instagram", scopes=sorted(INSTAGRAM_SCOPES))
    return Instagram(server.base_url, token, host="graph.instagram")


def code(answer: requests.Response) -> tuple[int, int]:
    fault = answer.json()["error"]
    return fault["code"], fault.get("error_subcode", 0)


# -- containers


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"media_type": "VIDEO"}, (100, 2207023)),
        ({"caption": "x" * 2201}, (36004, 2207010)),
        ({"caption": "#a " * 31}, (100, 2207040)),
        ({"caption": "@a " * 21}, (100, 2207040)),
        ({"thumb_offset": "soon"}, (1, 2207057)),
        ({"collaborators": "one,two"}, (100, 0)),
        ({"collaborators": '["a","b","c","d"]'}, (100, 2207035)),
        ({"share_to_feed": "yes"}, (100, 0)),
        ({"upload_type": ""}, (100, 0)),
        ({"video_url": "http://127.0.0.1:9/v.mp4"}, (100, 0)),
        ({"made_up": "1"}, (100, 0)),
        ({"upload_type": "", "video_url": "http://127.0.0.1:9/v.mp4"}, (9004, 2207052)),
        ({"cover_url": "http://127.0.0.1:9/c.jpg"}, (9004, 2207052)),
    ],
)
def test_what_instagram_refuses_makes_no_container(
    app: Instagram, sim: Sim, fields: dict[str, str], expected: tuple[int, int]
) -> None:
    assert code(app.create(**fields)) == expected
    assert sim.call("GET", "uploads")["uploads"] == []


def test_a_day_has_so_many_containers_and_no_more(
    app: Instagram, sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.platforms.instagram.CONTAINERS_PER_DAY", 2)
    sim.settings(rate_limits=True)
    answers = [app.create() for _ in range(3)]
    sim.advance(86_401)
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert code(answers[-1]) == (80002, 0)
    assert app.create().status_code == 200


def test_bytes_come_in_order_and_as_announced(app: Instagram) -> None:
    made = app.create().json()
    wrong = app.send(made["uri"], BODY, offset=5)
    short = app.send(made["uri"], BODY[:10], size=len(BODY))
    other = app.send(made["uri"], BODY[10:], offset=10, size=99)
    status = app.get(made["id"], "video_status")["video_status"]["uploading_phase"]
    rest = app.send(made["uri"], BODY[10:], offset=10, size=len(BODY))
    types = [answer.json()["debug_info"]["type"] for answer in (wrong, short, other)]
    assert types == ["OffsetInvalidError", "PartialRequestError", "PartialRequestError"]
    assert status["bytes_transferred"] == 10
    assert rest.json()["success"] is True
    assert app.get(made["id"])["status_code"] == "FINISHED"


def test_uploads_need_the_scheme_of_their_host(app: Instagram) -> None:
    made = app.create().json()
    answer = app.http.post(made["uri"], data=BODY, headers={"offset": "0", "file_size": str(len(BODY))})
    assert answer.status_code == 400
    assert app.get(made["id"])["status_code"] == "IN_PROGRESS"


def test_a_container_passes_through_its_states_by_the_clock(app: Instagram, sim: Sim) -> None:
    sim.settings(processing_seconds=60.0)
    container, failing = app.filled(), app.filled(caption="[sim:fail=2207026]")
    seen = [app.get(container)["status_code"]]
    sim.advance(61)
    seen += [app.get(container)["status_code"], app.get(failing)["status_code"]]
    words = app.get(failing)["status"]
    sim.advance(86_400)
    seen.append(app.get(container)["status_code"])
    assert seen == ["IN_PROGRESS", "FINISHED", "ERROR", "EXPIRED"]
    assert "2207026" in words


# -- publishing


def test_an_unready_container_is_not_published(app: Instagram, sim: Sim) -> None:
    empty = app.create().json()["id"]
    assert code(app.publish(empty)) == (9007, 2207027)
    assert sim.count(platform="instagram") == 0


def test_a_container_is_published_once(app: Instagram, sim: Sim) -> None:
    container = app.filled()
    first, second = app.publish(container), app.publish(container)
    assert first.status_code == 200
    assert code(second) == (24, 2207006)
    assert app.get(container)["status_code"] == "PUBLISHED"
    assert sim.count(platform="instagram") == 1


def test_an_expired_container_is_not_published(app: Instagram, sim: Sim) -> None:
    container = app.filled()
    sim.advance(86_401)
    assert code(app.publish(container)) == (24, 2207008)


def test_the_day_has_as_many_posts_as_the_limit_says(app: Instagram, sim: Sim) -> None:
    sim.settings(rate_limits=True, instagram_quota=1)
    app.publish(app.filled())
    told = app.get(f"{app.account}/content_publishing_limit", "config,quota_usage")["data"][0]
    second = app.publish(app.filled())
    sim.advance(86_401)
    assert (told["quota_usage"], told["config"]["quota_total"]) == (1, 1)
    assert code(second) == (9, 2207042)
    assert app.publish(app.filled()).status_code == 200


def test_a_post_has_a_page_and_the_list_lags_behind(app: Instagram, sim: Sim) -> None:
    sim.settings(moderation_seconds=30.0)
    post = app.publish(app.filled()).json()["id"]
    permalink = app.get(post, "permalink,media_product_type")["permalink"]
    early = app.get(f"{app.account}/media", "id")["data"]
    sim.advance(31)
    later = app.get(f"{app.account}/media", "id,caption,permalink")["data"]
    page = app.http.get(permalink)
    assert early == []
    assert later == [{"id": post, "caption": "a caption", "permalink": permalink}]
    assert page.status_code == 200 and "a caption" in page.text


# -- who may do what


def test_neither_host_takes_the_other_flavours_tokens(app: Instagram, own: Instagram) -> None:
    own.http.headers["Authorization"], app.http.headers["Authorization"] = (
        app.http.headers["Authorization"],
        own.http.headers["Authorization"],
    )
    assert [code(who.create()) for who in (app, own)] == [(190, 0), (190, 0)]


def test_uploading_with_instagram_login_is_a_setting(own: Instagram, sim: Sim) -> None:
    refused = own.create()
    sim.settings(instagram_login_rupload=True)
    assert code(refused) == (100, 0)
    assert own.create().status_code == 200


def test_a_missing_permission_is_refused(server: SandboxServer, sim: Sim) -> None:
    token = sim.token(platform="instagram", scopes=["instagram_basic"])
    assert code(Instagram(server.base_url, token).create()) == (10, 0)


def test_another_accounts_posts_and_containers_are_out_of_reach(
    app: Instagram, server: SandboxServer, sim: Sim
) -> None:
    token = sim.token("sandbox_second", platform="instagram", scopes=sorted(FACEBOOK_SCOPES))
    other, container = Instagram(server.base_url, token), app.filled()
    post = app.publish(app.filled()).json()["id"]
    assert other.get(container)["error"]["code"] == 100
    assert other.get(post, "id")["error"]["code"] == 100
    assert code(other.publish(container)) == (24, 2207006)


def test_another_apps_containers_are_out_of_reach(app: Instagram, server: SandboxServer, sim: Sim) -> None:
    """The same account, connected by another app."""
    sim.call("POST", "clients", json={"platform": "instagram", "client_id": "other", "secret": "s"})
    asked = {"platform": "instagram", "client_id": "other", "scopes": sorted(FACEBOOK_SCOPES)}
    other = Instagram(server.base_url, sim.call("POST", "tokens", json=asked))
    empty, container = app.create().json(), app.filled()
    assert other.send(empty["uri"]).json()["debug_info"]["type"] == "NotFoundError"
    assert other.get(container)["error"]["error_subcode"] == 33
    assert code(other.publish(container)) == (24, 2207006)
    assert sim.count(platform="instagram") == 0
    assert app.publish(container).status_code == 200


# -- what is measured


PLAIN = ("-use_editlist", "0", "-bf", "0")
FAST = ("-movflags", "+faststart", *PLAIN)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "FINISHED"),
        ({"rate": "15"}, "ERROR"),
        ({"seconds": 2}, "ERROR"),
        ({"size": "1984x64"}, "ERROR"),
        ({"extra": PLAIN}, "ERROR"),
        ({"extra": ("-movflags", "+faststart", "-bf", "2")}, "ERROR"),
    ],
    ids=["fits", "too few frames", "too short", "too wide", "index last", "edit list"],
)
def test_what_arrived_is_measured(
    app: Instagram, sim: Sim, tmp_path: Path, changes: dict[str, Any], status: str
) -> None:
    sim.settings(measure_media=True)
    wanted: dict[str, Any] = {"seconds": 4, "size": "64x64", "sound": False, "extra": FAST} | changes
    container = app.filled(make_clip(tmp_path / "clip.mp4", **wanted).read_bytes())
    assert app.get(container)["status_code"] == status


def test_bytes_that_are_no_video_are_an_error_when_measured(app: Instagram, sim: Sim) -> None:
    sim.settings(measure_media=True)
    assert "2207026" in app.get(app.filled())["status"]


def test_a_file_over_the_limit_is_an_error_unmeasured() -> None:
    assert [size_fault(FILE_MAX), size_fault(FILE_MAX + 1)] == [0, 2207077]
