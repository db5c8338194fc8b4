"""What Meta's platforms share: how answers end, what headers tell, who is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from requests.structures import CaseInsensitiveDict

from app import clock
from app.exceptions import AuthorizationError, PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms._meta import Graph, identifier, proof, whole
from app.platforms._meta_callbacks import receive, signed_request, webhook_is_genuine
from app.platforms._meta_rules import Row, Tables
from app.platforms.base import Callback, Notice, PlatformConfig
from app.platforms.http import AnswerLost, HttpClient, Response

SECRET = "fb_secret"
NOW = int(time.time())
BODY = b'{"object":"page","entry":[]}'
SIGNATURE = "sha256=5d19b1a4576c3a6634b3dcdaa4a65bf7f4d3b63c4b51290d8bb3466728c88c7e"
OWN = Tables(subcodes={7: Row(PlatformAPIError, "media", "{label} says seven.")})


@pytest.fixture
def graph() -> Graph:
    http = HttpClient("facebook", user_agent="test", allowed_hosts=["graph.example"])
    config = PlatformConfig({}, "https://here.example/callback")
    return Graph(http, config, "https://graph.example/v1", label="Facebook", tables=OWN)


def answer(body: Any, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, CaseInsensitiveDict(headers or {}), data, "facebook", "ask")


def fault(code: object, subcode: object = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": "EAAsecret", "code": code, "error_subcode": subcode, **more}}


def refusal(graph: Graph, response: Response, *, commits: bool = False) -> PlatformAPIError:
    with pytest.raises(PlatformAPIError) as caught:
        graph.answer(response, commits=commits)
    assert "EAAsecret" not in repr(caught.value.to_dict())
    return caught.value


@pytest.mark.parametrize(
    ("code", "subcode", "kind"),
    [
        (1, None, "transient"),
        (2, None, "transient"),
        (4, None, "rate"),
        (10, None, "reauth"),
        (17, None, "rate"),
        (32, None, "rate"),
        (100, None, "content"),
        (100, 33, "content"),
        (100, 7, "media"),
        (101, None, "config"),
        (102, None, "reauth"),
        (190, 458, "reauth"),
        (190, 460, "reauth"),
        (190, 999, "reauth"),
        (200, None, "reauth"),
        (299, None, "reauth"),
        (341, None, "rate"),
        (368, None, "account"),
        (506, None, "content"),
        (613, None, "rate"),
        (803, None, "config"),
        (80001, None, "rate"),
        ("190", "463", "reauth"),
        (7777, None, "content"),
        ([1], {"a": 1}, "content"),
        (True, None, "content"),
    ],
)
def test_codes_become_kinds_subcodes_first(graph: Graph, code: object, subcode: object, kind: str) -> None:
    assert refusal(graph, answer(fault(code, subcode))).kind == kind


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(fault(1)), "ambiguous"),
        (answer(fault(2, is_transient=True), 200), "ambiguous"),
        (answer(fault(100, is_transient=True)), "ambiguous"),
        (answer(fault(4, is_transient=True)), "ambiguous"),
        (answer(fault(190), 500), "ambiguous"),
        (answer(fault(7777)), "ambiguous"),
        (answer(b"<html>", 502), "ambiguous"),
        (answer(b"", 400), "ambiguous"),
        (answer(fault(190)), "reauth"),
        (answer(fault(4)), "rate"),
        (answer(fault(368)), "account"),
        (answer(fault(100)), "content"),
    ],
)
def test_only_what_surely_did_not_publish_is_a_refusal_of_a_commit(
    graph: Graph, response: Response, kind: str
) -> None:
    assert refusal(graph, response, commits=True).kind == kind


def test_passing_trouble_before_a_commit_is_transient(graph: Graph) -> None:
    assert refusal(graph, answer(fault(100, is_transient=True))).kind == "transient"
    assert refusal(graph, answer(b"<html>", 503)).kind == "transient"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'"a"', b"[" * 100_000])
def test_an_answer_that_is_no_object_is_lost(graph: Graph, body: bytes) -> None:
    with pytest.raises(AnswerLost):
        graph.answer(answer(body, 200))


@pytest.mark.parametrize("found", [{"error": None}, {"error": "x"}, {"error": [1]}, {"debug_info": 7}])
def test_an_error_of_another_shape_is_still_an_error(graph: Graph, found: Mapping[str, Any]) -> None:
    assert refusal(graph, answer(found, 200)).kind == "content"


@time_machine.travel("2026-11-23T12:00:00Z", tick=False)
@pytest.mark.parametrize(
    ("headers", "minutes"),
    [
        ({}, 15),
        ({"X-App-Usage": '{"call_count":100}'}, 60),
        ({"x-business-use-case-usage": '{"1":[{"estimated_time_to_regain_access":7}]}'}, 7),
        ({"X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":1e300}]}'}, 15),
        ({"X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":999999}]}'}, 24 * 60),
        ({"X-Business-Use-Case-Usage": '{"1":"x","2":[7,{"estimated_time_to_regain_access":"9"}]}'}, 15),
        ({"X-Business-Use-Case-Usage": "garbage", "X-App-Usage": "[]"}, 15),
    ],
)
def test_a_limit_says_when_calls_are_taken_again(
    graph: Graph, headers: Mapping[str, str], minutes: int
) -> None:
    limited = refusal(graph, answer(fault(80001), 400, headers))
    assert isinstance(limited, PlatformRateLimitError)
    assert limited.retry_at == clock.now() + timedelta(minutes=minutes)


def test_a_sentence_names_the_platform_and_the_code_is_kept(graph: Graph) -> None:
    found = refusal(graph, answer(fault(100, 7)))
    assert (found.message, found.platform_code) == ("Facebook says seven.", "100/7")


def test_where_an_upload_goes_on_is_told_in_numbers(graph: Graph) -> None:
    told = refusal(graph, answer(fault(6001, 7, error_data={"start_offset": "5", "end_offset": "9"})))
    lost = refusal(graph, answer(fault(6001, 7, error_data={"start_offset": "x"})))
    assert (told.details["start_offset"], told.details["end_offset"]) == (5, 9)
    assert "start_offset" not in lost.details


@pytest.mark.parametrize("kind", ["OffsetInvalidError", "PartialRequestError", "ProcessingFailedError"])
def test_the_upload_hosts_refusals_are_named_and_pass(graph: Graph, kind: str) -> None:
    found = refusal(graph, answer({"debug_info": {"type": kind, "retriable": False}}))
    assert (found.kind, found.platform_code) == ("transient", kind)


def test_the_proof_of_the_apps_secret_is_metas() -> None:
    expected = "611b16930f92bdad12e0ab9d81fe8d9c841a9d9c3f511b696f5ec6ae7c6bd272"
    assert proof(SECRET, "EAAB_token") == expected


@pytest.mark.parametrize(
    ("value", "number", "name"),
    [
        (7, 7, "7"), ("7", 7, "7"), (True, None, ""), ("a_b-1", None, "a_b-1"), ("../x", None, ""), (-1, -1, ""),
        (None, None, ""), ("9" * 65, None, ""), ("²", None, ""), ([], None, ""), (1.5, None, ""),
    ],
)  # fmt: skip
def test_ids_and_numbers_are_checked(value: object, number: int | None, name: str) -> None:
    assert (whole(value), identifier(value)) == (number, name)


# -- callbacks


def callback(purpose: Any, *, method: str = "POST", body: bytes = b"", **more: Any) -> Callback:
    return Callback(purpose, method, more.get("query", {}), more.get("headers", {}), body)


def signed(payload: Any, secret: str = SECRET) -> bytes:
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=")
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    value = base64.urlsafe_b64encode(digest).rstrip(b"=") + b"." + text
    return urlencode({"signed_request": value.decode()}).encode()


@pytest.mark.parametrize(("purpose", "what"), [("deauthorize", "revoked"), ("data_deletion", "delete")])
def test_a_person_who_leaves_is_named_by_their_id(purpose: str, what: Any) -> None:
    asked = callback(
        purpose, body=signed({"user_id": "218471", "issued_at": NOW, "algorithm": "HMAC-SHA256"})
    )
    expected = Notice(what, "218471", at=datetime.fromtimestamp(NOW, UTC))
    assert list(receive(asked, app_secrets=["", SECRET], verify_token="").notices) == [expected]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"signed_request=",
        b"signed_request=a.b",
        b"signed_request=.",
        b"\xff\xfe",
        signed({"user_id": "1", "issued_at": NOW}, "another"),
        signed({"user_id": "1", "issued_at": NOW}, ""),
        signed({"user_id": {"a": 1}, "issued_at": NOW}),
        signed(["user_id"]),
        signed({"user_id": "1", "issued_at": NOW})[:-4] + b"AAAA",
    ],
)
def test_a_request_nobody_signed_is_refused(body: bytes) -> None:
    with pytest.raises(AuthorizationError):
        receive(callback("deauthorize", body=body), app_secrets=["", SECRET], verify_token="w")


@pytest.mark.parametrize("hours", [-72, -1])
def test_a_request_told_late_is_still_taken(hours: int) -> None:
    body = signed({"user_id": "1", "issued_at": NOW + hours * 3600})
    (notice,) = receive(callback("deauthorize", body=body), app_secrets=[SECRET], verify_token="").notices
    assert notice.at == datetime.fromtimestamp(NOW + hours * 3600, UTC)


@pytest.mark.parametrize("purpose", ["deauthorize", "data_deletion"])
@pytest.mark.parametrize(
    "issued",
    [{}, *({"issued_at": at} for at in (NOW - 4 * 86400, NOW + 3600, 0, -1, 1e9, True, "x", 10**20))],
)
def test_a_request_of_another_time_or_of_none_is_refused(purpose: str, issued: dict[str, Any]) -> None:
    asked = callback(purpose, body=signed({"user_id": "1"} | issued))
    with pytest.raises(AuthorizationError):
        receive(asked, app_secrets=[SECRET], verify_token="")


def test_without_an_app_secret_nothing_is_believed() -> None:
    with pytest.raises(AuthorizationError):
        receive(callback("deauthorize", body=signed({"user_id": "1"}, "")), app_secrets=[""], verify_token="")
    with pytest.raises(AuthorizationError):
        signed_request(signed({"user_id": "1"}, ""), [])


def test_a_webhook_is_believed_by_its_signature_alone() -> None:
    assert webhook_is_genuine(SECRET, BODY, SIGNATURE)
    assert not webhook_is_genuine(SECRET, BODY + b" ", SIGNATURE)
    assert not webhook_is_genuine(SECRET, BODY, SIGNATURE.removeprefix("sha256="))
    assert not webhook_is_genuine(SECRET, BODY, "sha256=ü")


def test_a_webhook_names_each_account_once() -> None:
    entries = [{"id": "1"}, {"id": 2}, {"id": "1"}, {"id": None}, "x"]
    body = json.dumps({"object": "page", "entry": entries}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    asked = callback("webhook", body=body, headers={"x-hub-signature-256": f"sha256={digest}"})
    found = receive(asked, app_secrets=[SECRET], verify_token="w").notices
    assert list(found) == [Notice("changed", "1"), Notice("changed", "2")]


def test_setting_a_webhook_up_answers_the_challenge() -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "word"}
    asked = callback("webhook", method="GET", query=query)
    assert receive(asked, app_secrets=[SECRET], verify_token="word").answer == "1158201444"
    for wrong in ("other", ""):
        with pytest.raises(AuthorizationError):
            receive(asked, app_secrets=[SECRET], verify_token=wrong)


def test_a_dead_token_is_an_auth_error_that_says_why(graph: Graph) -> None:
    found = refusal(graph, answer(fault(190, 460), 401))
    assert isinstance(found, PlatformAuthError)
    assert "password" in found.message
