from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.faults import OPERATIONS, Fault
from tests.sandbox.client import BODY, TikTok
from tests.sandbox_server import SandboxProcess, SandboxServer, Sim

LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("gunicorn")) as running:
        yield running


@pytest.fixture(params=["werkzeug", "gunicorn"])
def app(request: pytest.FixtureRequest, server: SandboxServer) -> TikTok:
    """An app on each of the two servers a drop must work under."""
    running = server if request.param == "werkzeug" else request.getfixturevalue("gunicorn")
    running.sim.reset()
    return TikTok(running.base_url, running.sim.token()["access_token"])


def sim_of(app: TikTok) -> Sim:
    return Sim(app.base_url.removesuffix("/tiktok"))


def test_dropped_before_nothing_has_happened(app: TikTok) -> None:
    url = app.start()["upload_url"]
    sim_of(app).fault("tiktok.last_chunk", "drop_before")

    with pytest.raises(LOST):
        app.put(url)

    assert sim_of(app).count() == 0
    assert app.put(url).status_code == 201


def test_dropped_after_the_post_exists(app: TikTok) -> None:
    url = app.start()["upload_url"]
    sim_of(app).fault("tiktok.last_chunk", "drop_after")

    with pytest.raises(LOST):
        app.put(url)

    assert sim_of(app).count() == 1
    assert app.put(url).status_code == 416


def test_a_large_body_can_be_dropped_before_it_is_read(app: TikTok) -> None:
    url = app.start(plan=(30_000_000, 30_000_000, 1))["upload_url"]
    sim_of(app).fault("tiktok.last_chunk", "drop_before")

    with pytest.raises(LOST):
        app.put(url, b"x" * 30_000_000)

    assert sim_of(app).count() == 0


def test_a_truncated_answer_ends_in_the_middle(app: TikTok) -> None:
    sim_of(app).fault("tiktok.creator_info", "truncate", bytes=10)

    with pytest.raises(LOST):
        app.creator_info()

    assert app.creator_info().status_code == 200


def test_a_partly_stored_chunk_is_continued_where_it_ends(app: TikTok) -> None:
    handle = app.start()
    sim_of(app).fault("tiktok.last_chunk", "store_partial", bytes=10)

    with pytest.raises(LOST):
        app.put(handle["upload_url"])
    progress = app.status(handle["publish_id"])["uploaded_bytes"]
    rest = app.put(handle["upload_url"], BODY[10:], start=10, total=len(BODY))

    assert (progress, rest.status_code) == (10, 201)
    assert requests.get(sim_of(app).posts()[0]["file_url"], timeout=5).content == BODY


def test_a_dropped_call_is_recorded_with_its_body_and_no_status(app: TikTok) -> None:
    sim_of(app).fault("tiktok.init", "drop_before")

    with pytest.raises(LOST):
        app.init("recorded")

    (entry,) = sim_of(app).requests(operation="tiktok.init")
    assert (entry["status"], entry["fault"]) == (None, "drop_before")
    assert entry["body"]["post_info"]["title"] == "recorded"


def test_a_status_comes_instead_of_the_call(tiktok: TikTok, sim: Sim) -> None:
    headers = {"Retry-After": "7"}
    sim.fault("tiktok.init", "status", status=429, headers=headers, body={"error": {"code": "slow_down"}})

    answer = tiktok.init()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"]["code"] == "slow_down"
    assert sim.call("GET", "uploads")["uploads"] == []


def test_a_status_can_come_after_the_call_has_happened(tiktok: TikTok, sim: Sim) -> None:
    sim.fault("tiktok.last_chunk", "status", status=500, when="after")

    answer = tiktok.put(tiktok.start()["upload_url"])

    assert (answer.status_code, sim.count()) == (500, 1)


def test_a_malformed_answer_is_not_json(tiktok: TikTok, sim: Sim) -> None:
    sim.fault("tiktok.creator_info", "malformed")

    with pytest.raises(requests.exceptions.JSONDecodeError):
        tiktok.creator_info().json()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_can_be_delayed(tiktok: TikTok, sim: Sim, when: str) -> None:
    sim.fault("tiktok.creator_info", "delay", seconds=0.2, when=when)

    start = time.monotonic()
    status = tiktok.creator_info().status_code

    assert status == 200
    assert time.monotonic() - start >= 0.2


def test_a_fault_strikes_the_nth_call_and_so_many_after_it(tiktok: TikTok, sim: Sim) -> None:
    sim.fault("tiktok.creator_info", "status", nth=2, times=2)

    assert [tiktok.creator_info().status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_a_pattern_strikes_every_operation_it_fits(tiktok: TikTok, sim: Sim) -> None:
    sim.fault("tiktok.*", "status", times=-1)

    assert [tiktok.creator_info().status_code, tiktok.init().status_code] == [503, 503]


def test_chance_is_repeatable_by_its_seed() -> None:
    def draw(seed: int) -> list[bool]:
        fault = Fault("tiktok.init", "status", times=-1, probability=0.5, seed=seed)
        return [fault.strikes() for _ in range(50)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert 5 < sum(draw(1)) < 45


def test_cleared_faults_strike_no_more(tiktok: TikTok, sim: Sim) -> None:
    sim.fault("tiktok.creator_info", "status", times=-1)
    sim.clear_faults()

    assert tiktok.creator_info().status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "tiktok.nothing", "action": "status"},
        {"operation": "tiktok.init", "action": "explode"},
        {"operation": "tiktok.init", "action": "delay", "when": "never"},
        {"operation": "tiktok.init", "action": "status", "nth": "2"},
        {"operation": "tiktok.init", "action": "status", "colour": "red"},
        {"action": "status"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sim: Sim, fault: dict[str, object]) -> None:
    with pytest.raises(requests.HTTPError, match="422"):
        sim.call("POST", "faults", json=fault)


def test_the_platform_may_be_named_apart(sim: Sim) -> None:
    armed = sim.call("POST", "faults", json={"platform": "tiktok", "operation": "token", "action": "delay"})

    assert armed["operation"] == "tiktok.token"
    assert armed["operation"] in OPERATIONS


@pytest.mark.parametrize(("marker", "posts"), [("[sim:drop-before]", 0), ("[sim:drop-after]", 1)])
def test_a_caption_can_ask_for_a_drop_once(tiktok: TikTok, sim: Sim, marker: str, posts: int) -> None:
    url = tiktok.start(f"lost {marker}")["upload_url"]

    with pytest.raises(LOST):
        tiktok.put(url)
    made = sim.count()
    tiktok.put(url)

    assert (made, sim.count()) == (posts, 1)


def test_a_caption_can_ask_for_a_late_answer(tiktok: TikTok, sim: Sim) -> None:
    url = tiktok.start("late [sim:slow=0.3]")["upload_url"]

    start = time.monotonic()
    status = tiktok.put(url).status_code
    (post,) = sim.posts()

    assert (status, time.monotonic() - start >= 0.3) == (201, True)
    assert post["commit_finished_at"][:19] >= post["commit_received_at"][:19]


def test_a_failed_start_of_the_process_says_why(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path), pytest.raises(RuntimeError, match="another sandbox process"):
        SandboxProcess(tmp_path).start()
