from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests import factories
from tests.factories import Person
from tests.routes.conftest import Send

API = "/api/v1"
PUBLIC = "https://93.184.216.34/hook"


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("then", ["leaves", "is made a viewer"])
def test_a_webhook_is_the_workspaces_and_stays_when_its_maker_leaves(
    app: Flask, client: FlaskClient, owner: Person, send: Send, then: str
) -> None:
    with app.app_context():
        maker = factories.make_person()
        factories.make_membership(owner.workspace_id, maker.user_id)
        login = f"Bearer {factories.make_access_token(maker)}"
    headers = {"Authorization": login, "X-Workspace-Id": str(owner.workspace_id)}
    made = client.post(f"{API}/webhooks", json={"url": PUBLIC}, headers=headers).get_json()
    member = f"/members/{maker.user_id}"

    if then == "leaves":
        assert send("DELETE", member).status_code == 204
    else:
        assert send("PATCH", member, {"role": "viewer"}).status_code == 200

    (found,) = send("GET", "/webhooks").get_json()["data"]
    assert (found["id"], found["status"]) == (made["id"], "active")
    assert found["created_by"] == made["created_by"] == str(maker.user_id)
    assert client.get(f"{API}/webhooks", headers=headers).status_code in {403, 404}


@pytest.mark.usefixtures("database_url")
def test_a_webhook_is_made_shown_changed_and_deleted(send: Send) -> None:
    made = send("POST", "/webhooks", {"url": PUBLIC, "events": ["target.*"], "description": "ours"})
    path = f"/webhooks/{made.get_json()['id']}"

    shown = send("GET", path)
    changed = send("PATCH", path, {"events": ["post.created"], "status": "disabled"}).get_json()

    assert made.status_code == 201
    assert made.get_json()["secret"].startswith("whsec_")
    assert "secret" not in shown.get_json()
    assert (changed["events"], changed["status"], changed["url"]) == (["post.created"], "disabled", PUBLIC)
    assert send("DELETE", path).status_code == 204
    assert error(send("GET", path)) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://127.0.0.1/hook"},
        {"url": "ftp://example.com"},
        {"url": PUBLIC, "events": ["target"]},
        {"url": PUBLIC, "events": ["*.published"]},
        {"url": PUBLIC, "secret": "mine"},
        {},
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(send: Send, body: dict[str, Any]) -> None:
    assert error(send("POST", "/webhooks", body)) == (422, "VALIDATION_ERROR")
    assert send("GET", "/webhooks").get_json()["data"] == []


def test_a_changed_address_is_checked_too(send: Send) -> None:
    path = f"/webhooks/{send('POST', '/webhooks', {'url': PUBLIC}).get_json()['id']}"

    refused = send("PATCH", path, {"url": "http://169.254.169.254/latest"})

    assert error(refused) == (422, "VALIDATION_ERROR")
    assert send("GET", path).get_json()["url"] == PUBLIC


def test_a_ping_is_a_delivery_and_not_redelivered_while_it_is_tried(send: Send) -> None:
    path = f"/webhooks/{send('POST', '/webhooks', {'url': PUBLIC}).get_json()['id']}"

    ping = send("POST", f"{path}/ping")
    again = send("POST", f"/deliveries/{ping.get_json()['id']}/redeliver")

    assert (ping.status_code, ping.get_json()["type"], ping.get_json()["state"]) == (
        202,
        "webhook.ping",
        "pending",
    )
    assert error(again) == (409, "STATE_CONFLICT")
    assert [item["id"] for item in send("GET", f"{path}/deliveries").get_json()["data"]] == [
        ping.get_json()["id"]
    ]
    assert send("GET", f"{path}/deliveries?state=failed").get_json()["data"] == []


def test_a_workspace_has_at_most_twenty(send: Send) -> None:
    statuses = [send("POST", "/webhooks", {"url": PUBLIC}).status_code for _ in range(21)]

    assert statuses == [201] * 20 + [409]


def test_another_workspaces_webhooks_do_not_exist(
    client: FlaskClient, send: Send, other_headers: dict[str, str]
) -> None:
    id_ = send("POST", "/webhooks", {"url": PUBLIC}).get_json()["id"]
    delivery = send("POST", f"/webhooks/{id_}/ping").get_json()["id"]
    asked = [
        ("GET", f"/webhooks/{id_}"),
        ("PATCH", f"/webhooks/{id_}"),
        ("DELETE", f"/webhooks/{id_}"),
        ("POST", f"/webhooks/{id_}/ping"),
        ("POST", f"/webhooks/{id_}/rotate-secret"),
        ("GET", f"/webhooks/{id_}/deliveries"),
        ("POST", f"/deliveries/{delivery}/redeliver"),
    ]

    answers = [
        client.open(
            f"{API}{path}", method=method, json={} if method == "PATCH" else None, headers=other_headers
        )
        for method, path in asked
    ]

    assert [error(answer) for answer in answers] == [(404, "RESOURCE_NOT_FOUND")] * len(asked)
