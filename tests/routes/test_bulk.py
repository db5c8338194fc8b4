from __future__ import annotations

import csv
import io
import json
import socket
import sqlite3
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from app.extensions import db
from app.models import Post, Upload
from app.services import lookups, posts
from tests.routes.conftest import Body, Send, code, count, row

Ask = Any


def statuses(answer: Any) -> list[int]:
    return [item["status"] for item in answer.get_json()["data"]]


@pytest.mark.usefixtures("database_url")
def test_each_post_stands_or_falls_alone(app: Flask, send: Send, body: Body) -> None:
    elsewhere = body | {"targets": [{"channel_id": "00000000-0000-7000-8000-000000000000"}]}

    answer = send("POST", "/posts/bulk", {"posts": [body, elsewhere, {"caption": 5}, body | {"draft": True}]})

    found = answer.get_json()
    assert statuses(answer) == [201, 404, 422, 400]  # a draft with a time contradicts itself
    assert (found["accepted"], found["refused"], count(app, Post)) == (1, 3, 1)
    assert found["data"][0]["post"]["targets"][0]["status"] == "scheduled"
    assert found["data"][2]["error"]["code"] == "VALIDATION_ERROR"
    assert set(found["data"][2]["error"]["details"]) == {"caption", "targets"}


def test_a_dry_run_stores_nothing(app: Flask, send: Send, body: Body) -> None:
    answer = send("POST", "/posts/bulk?dry_run=true", {"posts": [body]})

    assert (statuses(answer), count(app, Post)) == ([200], 0)
    assert answer.get_json()["data"][0]["post"]["dry_run"] is True


@pytest.mark.usefixtures("database_url")
def test_the_same_key_again_makes_nothing_twice_and_finishes_what_was_missing(
    app: Flask, send: Send, body: Body
) -> None:
    other = body | {"caption": "x" * 3000}
    first = send("POST", "/posts/bulk", {"posts": [body, other]}, Idempotency_Key="k")
    second = send("POST", "/posts/bulk", {"posts": [body, other]}, Idempotency_Key="k")

    assert statuses(first) == statuses(second) == [201, 422]
    assert first.get_json()["data"][0]["post"]["id"] == second.get_json()["data"][0]["post"]["id"]
    assert count(app, Post) == 1


@pytest.mark.parametrize("number", [0, 501])
def test_one_to_five_hundred_are_taken(send: Send, number: int) -> None:
    assert code(send("POST", "/posts/bulk", {"posts": [{}] * number})) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(("name", "status"), [("database is locked", 503), ("no such thing", 500)])
def test_a_database_error_of_one_is_told_beside_the_others(
    app: Flask, send: Send, body: Body, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    create, trouble = posts.create, sqlite3.OperationalError(name)
    trouble.sqlite_errorcode = sqlite3.SQLITE_BUSY if status == 503 else sqlite3.SQLITE_ERROR

    def sometimes(item: Any, *rest: Any, **options: Any) -> Post:
        if item.get("caption") == "broken":
            raise OperationalError("INSERT", {}, trouble)
        return create(item, *rest, **options)

    monkeypatch.setattr(posts, "create", sometimes)
    answer = send("POST", "/posts/bulk", {"posts": [body | {"caption": "broken"}, body]})

    assert statuses(answer) == [status, 201]
    assert count(app, Post) == 1


def test_a_key_to_which_no_number_fits_is_refused_before_anything_is_made(
    app: Flask, send: Send, body: Body
) -> None:
    assert code(send("POST", "/posts/bulk", {"posts": [body]}, Idempotency_Key="k" * 252)) == (
        422, "VALIDATION_ERROR",
    )  # fmt: skip
    assert statuses(send("POST", "/posts/bulk", {"posts": [body]}, Idempotency_Key="k" * 251)) == [201]
    assert count(app, Post) == 1


@pytest.fixture
def resolving(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a connection was in use, each time a name was looked up; this name leads to a public address."""
    found: list[bool] = []
    real = socket.getaddrinfo
    with app.app_context():
        pool: Any = db.engine.pool

    def getaddrinfo(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if host != "videos.example.com":
            return real(host, port, *rest, **options)
        found.append(pool.checkedout() > 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("key", ["k", None])
def test_no_transaction_is_open_while_a_videos_host_is_looked_up(
    app: Flask, send: Send, body: Body, resolving: list[bool], key: str | None
) -> None:
    video = {"url": "https://videos.example.com/film.mp4"}
    posts = [body, *(body | {"video_id": None, "video": video | {"title": title}} for title in "ab")]
    headers = {"Idempotency_Key": key} if key else {}

    first = send("POST", "/posts/bulk", {"posts": posts}, **headers)
    again = send("POST", "/posts/bulk", {"posts": posts}, **headers) if key else first

    assert statuses(first) == statuses(again) == [201] * 3
    assert resolving == [False]
    ids = [[item["post"]["id"] for item in answer.get_json()["data"]] for answer in (first, again)]
    assert ids[0] == ids[1]
    assert count(app, Post) == 3


def of_hosts(body: Body, *hosts: str) -> Body:
    """Return a request for a post of a video from each host."""
    video = [{"url": f"https://{host}.example.com/film.mp4", "title": host} for host in hosts]
    return {"posts": [body | {"video_id": None, "video": each} for each in video]}


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_hosts_are_looked_up_together(
    send: Send, body: Body, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    all_are_asked = threading.Barrier(3, timeout=10)
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if not host.endswith(".example.com"):
            return real(host, port, *rest, **options)
        all_are_asked.wait()
        address = "127.0.0.1" if host.startswith("inner") else "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    answer = send("POST", f"/posts/bulk{query}", of_hosts(body, "a", "inner", "c"))

    good = 200 if query else 201
    assert statuses(answer) == [good, 422, good]
    assert "video.url" in answer.get_json()["data"][1]["error"]["details"]


def test_a_host_that_is_not_found_in_time_is_refused_and_stops_no_other(
    app: Flask, send: Send, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, real = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if not host.endswith(".example.com"):
            return real(host, port, *rest, **options)
        if host.startswith("silent"):
            over.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(lookups, "SECONDS", 1.0)
    try:
        answer = send("POST", "/posts/bulk", of_hosts(body, "silent", "quick", "silent-too"))
    finally:
        over.set()

    assert statuses(answer) == [422, 201, 422]
    (problem,) = answer.get_json()["data"][0]["error"]["details"]["video.url"]
    assert "in time" in problem
    assert count(app, Post) == 1


@pytest.fixture
def upload(client: FlaskClient, auth_headers: dict[str, str]) -> Ask:
    def ask(text: str, query: str = "", content_type: str = "text/csv") -> Any:
        headers = auth_headers | {"Content-Type": content_type}
        return client.post(f"/api/v1/posts/import{query}", data=text.encode(), headers=headers)

    return ask


def table(body: Body, **columns: str) -> str:
    line = {
        "video_id": body["video_id"],
        "channel_ids": body["targets"][0]["channel_id"],
        "caption": 'Hello, "you"',
        "scheduled_at": body["scheduled_at"],
        "labels": "a; b",
        "options": json.dumps(body["options"]),
    }
    out = io.StringIO()
    writer = csv.DictWriter(out, [*(line | columns)])
    writer.writeheader()
    writer.writerow(line | columns)
    return out.getvalue()


@pytest.mark.usefixtures("database_url")
def test_a_table_is_looked_at_first_and_stored_when_asked_to(app: Flask, upload: Ask, body: Body) -> None:
    looked = upload(table(body))
    before = count(app, Post)
    stored = upload(table(body), "?dry_run=false")

    assert (statuses(looked), before, statuses(stored), count(app, Post)) == ([200], 0, [201], 1)
    post = stored.get_json()["data"][0]["post"]
    assert (post["caption"], post["labels"]) == ('Hello, "you"', ["a", "b"])


def test_a_row_may_have_metadata_and_a_video_that_is_to_be_fetched(
    app: Flask, upload: Ask, body: Body, resolving: list[bool]
) -> None:
    source = {"video_id": "", "video_url": "https://videos.example.com/film.mp4", "video_title": "Film"}

    stored = upload(table(body, metadata='{"row": 17}', **source), "?dry_run=false")

    post = stored.get_json()["data"][0]["post"]
    assert (post["title"], post["metadata"], post["targets"][0]["hold"]) == ("Film", {"row": 17}, "media")
    assert (resolving, count(app, Upload)) == ([False], 1)


def test_each_row_says_what_is_wrong_with_it(upload: Ask, body: Body) -> None:
    good = table(body).splitlines()
    rows = [good[0], good[1], "not-an-id,x,,,,", "too,few"]

    answer = upload("\n".join(rows))

    assert statuses(answer) == [200, 422, 422]
    errors = [item["error"] and set(item["error"]["details"]) for item in answer.get_json()["data"]]
    assert errors[1] >= {"video_id"}
    assert errors[2] == {"row"}


@pytest.mark.parametrize(
    ("text", "field"),
    [("", "columns"), ("caption\nx", "columns"), ("video_id,channel_ids,secret\na,b,c", "columns"),
     ("video_id,channel_id,channel_id\na,b,c", "columns"), ("video_url,caption\na,b", "columns"),
     ("video_id,channel_ids\n", "posts"), ("caption\rx", "columns"), ("c" * 140_000, "rows")],
    ids=["empty", "columns missing", "unknown column", "a column twice", "no channel", "no rows",
         "old line ends", "a column without end"],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_whole(upload: Ask, text: str, field: str) -> None:
    answer = upload(text)

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert list(answer.get_json()["error"]["details"]) == [field]


def test_a_list_of_objects_is_imported_like_a_table(upload: Ask, body: Body) -> None:
    assert statuses(upload(json.dumps([body]), content_type="application/json")) == [200]
    assert code(upload("{}", content_type="application/json")) == (422, "VALIDATION_ERROR")
    assert code(upload("\xff\xfe", content_type="text/plain"))[0] == 415


@pytest.mark.usefixtures("database_url")
def test_everything_is_exported_a_row_for_each_target_and_no_formula(
    app: Flask, client: FlaskClient, send: Send, body: Body, auth_headers: dict[str, str], other_headers: Any
) -> None:
    made = send("POST", "/posts", body | {"caption": "=HYPERLINK(1)", "labels": ["a"]}).get_json()

    exported = client.get("/api/v1/posts/export", headers=auth_headers)
    (found,) = csv.DictReader(io.StringIO(exported.get_data(as_text=True)))
    as_lines = client.get("/api/v1/posts/export?format=jsonl", headers=auth_headers).get_data(as_text=True)
    foreign = client.get("/api/v1/posts/export?format=jsonl", headers=other_headers)

    assert (found["target_id"], found["caption"]) == (made["targets"][0]["id"], "'=HYPERLINK(1)")
    assert json.loads(as_lines)["caption"] == "=HYPERLINK(1)"
    assert foreign.get_data() == b""
    assert row(app, found["target_id"]).state == "scheduled"
