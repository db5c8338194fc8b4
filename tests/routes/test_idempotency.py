"""A request with an Idempotency-Key takes effect once."""

from __future__ import annotations

import pytest
from flask import Flask

from app.models import Post
from tests.routes.conftest import Body, Send, code, count


@pytest.mark.usefixtures("database_url")
def test_the_same_request_with_its_key_is_answered_again(app: Flask, send: Send, body: Body) -> None:
    first = send("POST", "/posts", body, Idempotency_Key="k1")

    again = send("POST", "/posts", body, Idempotency_Key="k1")

    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert count(app, Post) == 1


def test_a_key_used_for_another_request_is_refused(send: Send, body: Body) -> None:
    send("POST", "/posts", body, Idempotency_Key="k1")

    answer = send("POST", "/posts", body | {"caption": "Other"}, Idempotency_Key="k1")

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "Idempotency-Key" in answer.json["error"]["details"]


def test_a_refused_request_does_not_use_its_key_up(send: Send, body: Body) -> None:
    assert (
        send(
            "POST", "/posts", body | {"options": {"tiktok": {"mode": "direct"}}}, Idempotency_Key="k1"
        ).status_code
        == 422
    )

    assert send("POST", "/posts", body, Idempotency_Key="k1").status_code == 201


def test_a_key_that_cannot_be_one_is_refused(send: Send, body: Body) -> None:
    assert code(send("POST", "/posts", body, Idempotency_Key="k" * 256)) == (422, "VALIDATION_ERROR")
