from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from sandbox.clock import VirtualClock
from tests.sandbox.client import BODY, TikTok
from tests.sandbox_server import SandboxProcess, SandboxServer, Sim

VIDEO = b"v" * 12_000_000


def test_posts_are_counted_by_account_caption_and_content(
    tiktok: TikTok, server: SandboxServer, sim: Sim
) -> None:
    tiktok.publish("one")
    TikTok(server.base_url, sim.token("sandbox_second")["access_token"]).publish("one")
    tiktok.publish("two")

    assert sim.count() == 3
    assert sim.count(caption="one") == 2
    assert sim.count(caption="one", account="sandbox_second") == 1
    assert sim.count(sha256=hashlib.sha256(BODY).hexdigest()) == 3
    assert sim.count(platform="tiktok", caption="three") == 0


def test_a_post_tells_when_its_commit_arrived_in_real_time(tiktok: TikTok, sim: Sim) -> None:
    sim.advance(-86_400)
    before = datetime.now(UTC)
    tiktok.publish()
    after = datetime.now(UTC)

    (post,) = sim.posts()
    arrived, finished = (
        datetime.fromisoformat(post[f"commit_{name}_at"]) for name in ("received", "finished")
    )

    assert before < arrived < finished < after
    assert datetime.fromisoformat(post["created_at"]) < before


def test_a_killed_sandbox_keeps_posts_tokens_and_half_uploads(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        app = TikTok(process.base_url, process.sim.token()["access_token"])
        app.publish("kept")
        handle = app.start("half", plan=(12_000_000, 5_000_000, 2))
        app.put(handle["upload_url"], VIDEO[:5_000_000], total=len(VIDEO))

        process.kill()
        process.start()
        rest = app.put(handle["upload_url"], VIDEO[5_000_000:], start=5_000_000, total=len(VIDEO))
        (half,) = process.sim.posts(caption="half")

        assert rest.status_code == 201
        assert process.sim.count(caption="kept") == 1
        assert half["sha256"] == hashlib.sha256(VIDEO).hexdigest()
        assert requests.get(half["file_url"], timeout=10).content == VIDEO


def test_resetting_forgets_posts_and_may_keep_tokens(tiktok: TikTok, sim: Sim) -> None:
    tiktok.publish()
    sim.settings(processing_seconds=99)
    sim.reset(keep=("tokens",))

    assert sim.count() == 0
    assert sim.settings()["processing_seconds"] == 2
    assert tiktok.creator_info().status_code == 200


def test_resetting_without_more_ends_tokens(tiktok: TikTok, sim: Sim) -> None:
    sim.reset()

    assert tiktok.creator_info().status_code == 401


def test_each_platform_has_two_accounts_from_the_start(sim: Sim) -> None:
    accounts = sim.call("GET", "accounts")["accounts"]

    usernames = [account["username"] for account in accounts if account["platform"] == "tiktok"]

    assert sorted(usernames) == ["sandbox_creator", "sandbox_second"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("settings", {"processing_seconds": "2"}),
        ("settings", {"processing_seconds": -1}),
        ("settings", {"speed": 0}),
        ("settings", {"rate_limits": 1}),
        ("settings", {"auto_consent": "perhaps"}),
        ("settings", {"colour": "red"}),
        ("reset", {"keep": ["everything"]}),
        ("clock", {"forward": 1}),
        ("accounts", {"username": "../x"}),
        ("accounts", {"username": "x", "platform": "friendster"}),
    ],
)
def test_a_wrong_control_call_changes_nothing(sim: Sim, path: str, body: dict[str, object]) -> None:
    before = sim.settings()

    with pytest.raises(requests.HTTPError, match="422"):
        sim.call("POST", path, json=body)

    assert sim.settings() == before


def test_requests_are_recorded_without_secrets(tiktok: TikTok, sim: Sim) -> None:
    code = tiktok.code()
    tokens = tiktok.redeem(code)
    TikTok(tiktok.base_url.removesuffix("/tiktok"), tokens["access_token"]).creator_info()

    recorded = sim.call("GET", "requests")
    text = repr(recorded)

    assert recorded["counts"]["tiktok.token"] == 1
    assert [entry["status"] for entry in sim.requests(operation="tiktok.creator_info")] == [200]
    for secret in (code, tokens["access_token"], tokens["refresh_token"], "sandbox-client-secret"):
        assert secret not in text


def test_withdrawn_consent_ends_the_tokens(tiktok: TikTok, sim: Sim) -> None:
    named = {"platform": "tiktok", "account": "sandbox_creator"}

    assert sim.call("POST", "grants/revoke", json=named)["revoked"] == 1
    assert tiktok.creator_info().status_code == 401


def test_a_removed_post_is_still_counted_as_posted(tiktok: TikTok, sim: Sim) -> None:
    publish_id = tiktok.publish()
    sim.advance(10)
    sim.remove_post(sim.posts()[0]["id"], reason="copyright")

    (post,) = sim.posts()

    assert (post["removed"], post["removed_reason"]) == (True, "copyright")
    assert tiktok.status(publish_id)["publicaly_available_post_id"] == []


def test_the_sandbox_says_which_settings_lead_to_it(server: SandboxServer, sim: Sim) -> None:
    names = sim.call("GET", "environment")["tiktok"]

    assert names["TIKTOK_API_BASE"] == f"{server.base_url}/tiktok/v2"
    assert names["TIKTOK_UPLOAD_HOSTS"] == "127.0.0.1"


def test_the_clock_moves_stops_and_runs_on() -> None:
    clock = VirtualClock()
    clock.advance(100)
    clock.freeze()
    frozen = clock.now()
    clock.advance(10)

    assert abs(frozen - time.time() - 100) < 1
    assert clock.now() == frozen + 10
    clock.run()
    assert 0 <= clock.now() - (frozen + 10) < 1
