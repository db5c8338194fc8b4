from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.platforms.tiktok import SCOPES
from tests.clips import make_clip
from tests.sandbox.client import BODY, TikTok, error_code
from tests.sandbox_server import SandboxServer, Sim

MB = 1_000_000


def test_a_public_account_may_post_publicly(tiktok: TikTok) -> None:
    answer = tiktok.creator_info().json()

    assert answer["error"]["code"] == "ok"
    assert answer["error"]["log_id"]
    assert answer["data"]["creator_username"] == "sandbox_creator"
    assert answer["data"]["privacy_level_options"][0] == "PUBLIC_TO_EVERYONE"


def test_a_private_account_may_not(tiktok: TikTok, sim: Sim) -> None:
    sim.account("sandbox_creator", private=True, max_duration_seconds=60)

    data = tiktok.creator_info().json()["data"]
    refused = tiktok.init()

    assert data["privacy_level_options"] == ["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]
    assert data["max_video_post_duration_sec"] == 60
    assert (refused.status_code, error_code(refused)) == (403, "privacy_level_option_mismatch")


def test_cannot_post_now_comes_with_200_for_creator_info_and_403_for_init(tiktok: TikTok, sim: Sim) -> None:
    sim.account("sandbox_creator", cannot_post="spam_risk_user_banned_from_posting")

    told, refused = tiktok.creator_info(), tiktok.init()

    assert (told.status_code, error_code(told)) == (200, "spam_risk_user_banned_from_posting")
    assert (refused.status_code, error_code(refused)) == (403, "spam_risk_user_banned_from_posting")


@pytest.mark.parametrize(
    "plan",
    [
        (1, 1, 1),
        (64 * MB, 64 * MB, 1),
        (12 * MB, 5 * MB, 2),
        (64 * MB + 1, 10 * MB, 6),
        (4 * 1024**3, 10 * MB, 429),
        (191_999_999, 64 * MB, 2),
    ],
)
def test_lawful_chunk_plans_are_accepted(tiktok: TikTok, plan: tuple[int, int, int]) -> None:
    assert tiktok.init(plan=plan).status_code == 200


@pytest.mark.parametrize(
    "plan",
    [
        (0, 0, 0),
        (64 * MB + 1, 64 * MB + 1, 1),
        (15 * MB, 10 * MB, 1),
        (12 * MB, 5 * MB, 3),
        (12 * MB, 4 * MB, 3),
        (200 * MB, 65 * MB, 3),
        (5_005 * MB, 5 * MB, 1001),
        (4 * 1024**3 + 1, 10 * MB, 429),
        ("1", 1, 1),
        (True, True, True),
    ],
)
def test_unlawful_chunk_plans_are_refused(tiktok: TikTok, plan: Any) -> None:
    answer = tiktok.init(plan=plan)

    assert (answer.status_code, error_code(answer)) == (400, "invalid_params")


@pytest.mark.parametrize(("caption", "status"), [("😀" * 1100, 200), ("😀" * 1100 + "x", 400)])
def test_the_title_is_counted_in_utf16_units(tiktok: TikTok, caption: str, status: int) -> None:
    assert tiktok.init(caption).status_code == status


@pytest.mark.parametrize(
    ("info", "status", "code"),
    [
        ({"privacy_level": None}, 400, "invalid_params"),
        ({"privacy_level": "FOLLOWER_OF_CREATOR"}, 403, "privacy_level_option_mismatch"),
        ({"disable_duet": "yes"}, 400, "invalid_params"),
        ({"video_cover_timestamp_ms": -1}, 400, "invalid_params"),
        ({"privacy_level": "SELF_ONLY", "brand_content_toggle": True}, 400, "invalid_params"),
    ],
)
def test_a_wrong_post_info_is_refused(tiktok: TikTok, info: dict[str, Any], status: int, code: str) -> None:
    answer = tiktok.init(**info)

    assert (answer.status_code, error_code(answer)) == (status, code)


def test_pulling_from_an_unverified_address_is_refused(tiktok: TikTok) -> None:
    source = {"source": "PULL_FROM_URL", "video_url": "https://example.com/a.mp4"}
    info = {"title": "", "privacy_level": "SELF_ONLY"}

    answer = tiktok.post("post/publish/video/init/", {"post_info": info, "source_info": source})

    assert (answer.status_code, error_code(answer)) == (403, "url_ownership_unverified")


def test_an_unaudited_app_posts_only_privately_to_private_accounts(tiktok: TikTok, sim: Sim) -> None:
    sim.settings(audited=False)

    refused = tiktok.init(privacy_level="SELF_ONLY")
    sim.account("sandbox_creator", private=True)

    assert error_code(refused) == "unaudited_client_can_only_post_to_private_accounts"
    assert tiktok.init(privacy_level="SELF_ONLY").status_code == 200


def test_a_missing_scope_is_refused(server: SandboxServer, sim: Sim) -> None:
    app = TikTok(server.base_url, sim.token(scopes=["user.info.basic"])["access_token"])

    answer = app.init()

    assert (answer.status_code, error_code(answer)) == (401, "scope_not_authorized")


@pytest.mark.parametrize(("call", "limit"), [("init", 6), ("creator_info", 20)])
def test_calls_a_minute_are_limited_for_each_token(
    server: SandboxServer, sim: Sim, call: str, limit: int
) -> None:
    sim.settings(rate_limits=True)
    sim.freeze()
    one, other = (TikTok(server.base_url, sim.token()["access_token"]) for _ in range(2))

    answers = [getattr(one, call)() for _ in range(limit + 1)]
    sim.advance(60)

    assert [answer.status_code for answer in answers] == [200] * limit + [429]
    assert error_code(answers[-1]) == "rate_limit_exceeded"
    assert getattr(other, call)().status_code == 200
    assert getattr(one, call)().status_code == 200


def test_more_posts_a_day_than_allowed_are_refused(tiktok: TikTok, sim: Sim) -> None:
    sim.settings(daily_posts=1)
    tiktok.publish()

    refused = tiktok.init()
    sim.advance(86_000)

    assert (refused.status_code, error_code(refused)) == (403, "spam_risk_too_many_posts")
    assert error_code(tiktok.creator_info()) == "spam_risk_too_many_posts"


def test_a_post_is_complete_before_its_id_is_told(tiktok: TikTok, sim: Sim) -> None:
    sim.freeze()
    publish_id = tiktok.publish()

    seen = [tiktok.status(publish_id)]
    for seconds in (2, 3):
        sim.advance(seconds)
        seen.append(tiktok.status(publish_id))

    assert [answer["status"] for answer in seen] == [
        "PROCESSING_UPLOAD",
        "PUBLISH_COMPLETE",
        "PUBLISH_COMPLETE",
    ]
    assert [len(answer["publicaly_available_post_id"]) for answer in seen] == [0, 0, 1]
    assert seen[-1]["publicaly_available_post_id"][0] > 2**53
    assert seen[-1]["uploaded_bytes"] == len(BODY)


def test_a_private_post_never_tells_its_id(tiktok: TikTok, sim: Sim) -> None:
    publish_id = tiktok.publish(privacy_level="SELF_ONLY")
    sim.advance(3_600)

    assert tiktok.status(publish_id)["publicaly_available_post_id"] == []
    assert sim.count() == 1


def test_a_caption_can_ask_for_a_failure(tiktok: TikTok, sim: Sim) -> None:
    publish_id = tiktok.publish("no [sim:fail=file_format_check_failed]")
    sim.advance(10)

    answer = tiktok.status(publish_id)

    assert (answer["status"], answer["fail_reason"]) == ("FAILED", "file_format_check_failed")
    assert sim.count() == 0


@pytest.mark.parametrize(
    ("shape", "name", "found"),
    [
        ({"size": "360x640", "seconds": 4}, "clip.mp4", ("PUBLISH_COMPLETE", "")),
        ({"size": "360x640", "seconds": 7}, "clip.mp4", ("FAILED", "duration_check_failed")),
        ({"size": "360x640", "seconds": 4, "rate": "15"}, "clip.mp4", ("FAILED", "frame_rate_check_failed")),
        ({"size": "340x640", "seconds": 4}, "clip.mp4", ("FAILED", "picture_size_check_failed")),
        ({"size": "360x640", "seconds": 4}, "clip.avi", ("FAILED", "file_format_check_failed")),
    ],
)
def test_a_video_is_judged_by_its_bytes(
    tiktok: TikTok, sim: Sim, tmp_path: Path, shape: dict[str, Any], name: str, found: tuple[str, str]
) -> None:
    sim.settings(measure_media=True)
    sim.account("sandbox_creator", max_duration_seconds=6)
    data = make_clip(tmp_path / name, **shape, extra=()).read_bytes()
    handle = tiktok.start(plan=(len(data), len(data), 1))
    assert tiktok.put(handle["upload_url"], data).status_code == 201
    sim.advance(10)
    answer = tiktok.status(handle["publish_id"])
    assert (answer["status"], answer.get("fail_reason", "")) == found
    assert sim.count() == (found[0] == "PUBLISH_COMPLETE")


@pytest.mark.parametrize(("mode", "status"), [("silent", "PUBLISH_COMPLETE"), ("FAILED", "FAILED")])
def test_a_caption_can_ask_for_a_late_rejection(tiktok: TikTok, sim: Sim, mode: str, status: str) -> None:
    sim.settings(late_reject_status=mode)
    sim.freeze()
    publish_id = tiktok.publish("late [sim:late-reject]")

    sim.advance(5)
    before = tiktok.status(publish_id)
    sim.advance(5)
    after = tiktok.status(publish_id)

    assert len(before["publicaly_available_post_id"]) == 1
    assert (after["status"], after["publicaly_available_post_id"]) == (status, [])


@pytest.mark.parametrize(
    ("mode", "status"), [("FAILED", "FAILED"), ("PROCESSING_UPLOAD", "PROCESSING_UPLOAD")]
)
def test_an_upload_past_its_hour_is_dead(tiktok: TikTok, sim: Sim, mode: str, status: str) -> None:
    sim.settings(dead_upload_status=mode)
    handle = tiktok.start()
    sim.advance(3_601)

    assert tiktok.status(handle["publish_id"])["status"] == status
    assert tiktok.put(handle["upload_url"]).status_code == 403


def test_another_accounts_publish_id_is_refused(tiktok: TikTok, server: SandboxServer, sim: Sim) -> None:
    publish_id = tiktok.start()["publish_id"]
    other = TikTok(server.base_url, sim.token("sandbox_second")["access_token"])

    answer = other.post("post/publish/status/fetch/", {"publish_id": publish_id})

    assert answer.status_code == 400
    assert error_code(answer) == "token_not_authorized_for_specified_publish_id"


@pytest.mark.parametrize("publish_id", ["v_pub_file~v2-1.123", "", 7, None])
def test_an_unknown_publish_id_is_refused(tiktok: TikTok, publish_id: object) -> None:
    answer = tiktok.post("post/publish/status/fetch/", {"publish_id": publish_id})

    assert (answer.status_code, error_code(answer)) == (400, "invalid_publish_id")


def test_only_an_unpublished_post_can_be_cancelled(tiktok: TikTok) -> None:
    published, announced = tiktok.publish(), tiktok.start()

    late = tiktok.post("post/publish/cancel/", {"publish_id": published})
    early = tiktok.post("post/publish/cancel/", {"publish_id": announced["publish_id"]})

    assert (late.status_code, error_code(late)) == (400, "publish_not_cancellable")
    assert error_code(early) == "ok"
    assert tiktok.status(announced["publish_id"])["fail_reason"] == "publish_cancelled"
    assert tiktok.put(announced["upload_url"]).status_code == 404


def test_a_draft_waits_in_the_inbox_until_its_user_posts_it(server: SandboxServer, sim: Sim) -> None:
    app = TikTok(server.base_url, sim.token(scopes=["video.upload"])["access_token"])
    source = {
        "source": "FILE_UPLOAD",
        "video_size": len(BODY),
        "chunk_size": len(BODY),
        "total_chunk_count": 1,
    }
    handle = app.post("post/publish/inbox/video/init/", {"source_info": source}).json()["data"]
    app.put(handle["upload_url"])
    sim.advance(10)

    waiting, posts = app.status(handle["publish_id"])["status"], sim.count()
    sim.call("POST", f"uploads/{handle['publish_id'].rpartition('.')[2]}/finish", json={"caption": "by hand"})

    assert (waiting, posts) == ("SEND_TO_USER_INBOX", 0)
    assert app.status(handle["publish_id"])["status"] == "PUBLISH_COMPLETE"
    assert sim.count(caption="by hand") == 1


def test_a_sixth_waiting_draft_is_refused(server: SandboxServer, sim: Sim) -> None:
    app = TikTok(server.base_url, sim.token(scopes=["video.upload"])["access_token"])
    source = {"source": "FILE_UPLOAD", "video_size": 1, "chunk_size": 1, "total_chunk_count": 1}

    answers = [app.post("post/publish/inbox/video/init/", {"source_info": source}) for _ in range(6)]

    assert [error_code(answer) for answer in answers] == ["ok"] * 5 + ["spam_risk_too_many_pending_share"]


def test_user_info_gives_what_the_scopes_allow(tiktok: TikTok, server: SandboxServer, sim: Sim) -> None:
    url = f"{tiktok.base_url}/v2/user/info/"
    basic = TikTok(server.base_url, sim.token(scopes=["user.info.basic"])["access_token"])

    full = tiktok.http.get(url, params={"fields": "open_id,username"}, headers=tiktok.headers)
    refused = basic.http.get(url, params={"fields": "open_id,username"}, headers=basic.headers)

    assert full.json()["data"]["user"]["username"] == "sandbox_creator"
    assert (refused.status_code, error_code(refused)) == (401, "scope_not_authorized")


def test_the_lists_show_public_posts_past_moderation(tiktok: TikTok, sim: Sim) -> None:
    for caption in ("one", "two"):
        tiktok.publish(caption)
        sim.advance(1)
    tiktok.publish("hidden", privacy_level="SELF_ONLY")
    hasty = tiktok.post("video/list/?fields=id,title", {"max_count": 1}).json()["data"]
    sim.advance(10)

    page = tiktok.post("video/list/?fields=id,title,share_url", {"max_count": 1}).json()["data"]
    rest = tiktok.post("video/list/?fields=title", {"cursor": page["cursor"]}).json()["data"]
    asked = {"filters": {"video_ids": [page["videos"][0]["id"]]}}
    found = tiktok.post("video/query/?fields=title", asked).json()["data"]["videos"]

    assert hasty["videos"] == []
    assert (page["videos"][0]["title"], page["has_more"]) == ("two", True)
    assert (rest["videos"], rest["has_more"]) == ([{"title": "one"}], False)
    assert found == [{"title": "two"}]


def test_multi_chunk_announcements_can_be_refused(tiktok: TikTok, sim: Sim) -> None:
    sim.settings(refuse_multi_chunk=True)

    answer = tiktok.init(plan=(12 * MB, 5 * MB, 2))

    assert answer.json()["error"]["message"] == "The chunk size is invalid"
    assert tiktok.init(plan=(12 * MB, 12 * MB, 1)).status_code == 200


def test_every_scope_of_the_fixture_is_one_the_consent_page_knows(tiktok: TikTok) -> None:
    assert tiktok.authorize(scope=",".join([*SCOPES, "video.upload"])).status_code == 200
