"""What an export writes an import reads: the same posts again, in another workspace with other channels."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import clock
from app.models import Post
from app.services import tables
from tests import factories
from tests.factories import Person
from tests.routes.conftest import PRIVATE, Body, Send, count, set_state

KINDS = {"csv": "text/csv", "jsonl": "application/x-ndjson"}
# What is the same in a copy; the rest are ids, and what became of the post.
CARRIED = ("title", "caption", "labels", "draft", "scheduled_at", "timezone", "late_until", "if_over_quota",
           "options", "fit", "metadata", *tables.OF_TARGET)  # fmt: skip
AWKWARD = ["=SUM(A1)", "'=quoted", "''@", "-1", " spaces ", "tab\tand\r\nlines\r", 'a "quote", a comma; and more', "",
           "Grüße 🥐", "[1]", "{}", "true"]  # fmt: skip


@pytest.fixture
def pair(app: Flask, owner: Person) -> list[str]:
    """Two channels."""
    with app.app_context():
        return [str(factories.make_channel(owner.workspace_id).id) for _ in range(2)]


@pytest.fixture
def posts(app: Flask, owner: Person, send: Send, body: Body, pair: list[str]) -> list[str]:
    """One post of each sort, on two channels; their ids."""
    with app.app_context():
        videos = [factories.make_video(owner.workspace_id, title="T", description="D") for _ in range(6)]
        of_a_target = str(factories.make_video(owner.workspace_id, title="Its own").id)
        ids = [str(video.id) for video in videos]
    at = [clock.isoformat(clock.now().replace(microsecond=0) + timedelta(days=2 + day)) for day in range(9)]
    texts = {"title": AWKWARD[0], "caption": AWKWARD[5], "labels": ["a;b", "[c]", "=d", "é"],
             "metadata": {"n": [1, None]}}  # fmt: skip
    targets = [{"channel_id": id_} for id_ in pair]
    options: Body = {"tiktok": {**PRIVATE["tiktok"], "allow_comment": False}}
    own = {"title": "'=own", "caption": "", "scheduled_at": at[5], "video_id": of_a_target,
           "options": {"allow_comment": True}, "fit": {"start": 1, "end": 6}}  # fmt: skip
    more: list[Body] = [
        texts | {"scheduled_at": at[0], "timezone": "Europe/Berlin", "late_until": at[1], "if_over_quota": "defer"},
        {"draft": True, "caption": AWKWARD[4], "options": {}},
        {"scheduled_at": at[2], "options": options, "fit": {"start": 0, "end": 5},
         "targets": [targets[0] | own, targets[1]]},
        {"targets": [target | {"scheduled_at": at[3]} for target in targets]},
        {"scheduled_at": at[4], "targets": targets[:1]},
        {"scheduled_at": at[6], "caption": ""},
    ]  # fmt: skip
    base = {"targets": targets, "options": PRIVATE}
    made = [
        send("POST", "/posts", base | {"video_id": id_} | each) for id_, each in zip(ids, more, strict=True)
    ]
    assert [answer.status_code for answer in made] == [201] * 6, [answer.json for answer in made]
    return [answer.json["id"] for answer in made]


@pytest.fixture
def elsewhere(app: Flask, client: FlaskClient, other_headers: Mapping[str, str]) -> Any:
    """Ask as somebody of another workspace."""

    def ask(method: str, path: str, data: str = "", kind: str = "text/csv") -> Any:
        headers = {**other_headers, "Content-Type": kind}
        return client.open(f"/api/v1{path}", method=method, headers=headers, data=data.encode())

    return ask


def rows_of(text: str, suffix: str) -> list[dict[str, Any]]:
    if suffix == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline="")))


def renamed(app: Flask, elsewhere: Any, text: str, suffix: str) -> str:
    """Replace the ids of channels and videos by those of twins in the other workspace."""
    workspace_id = uuid.UUID(elsewhere("GET", "/auth/me").json["workspace_id"])
    rows = rows_of(text, suffix)
    with app.app_context():
        for id_ in {row["channel_id"] for row in rows}:
            text = text.replace(id_, str(factories.make_channel(workspace_id).id))
        for id_ in {row["video_id"] for row in rows}:
            text = text.replace(id_, str(factories.make_video(workspace_id, title="X", description="Y").id))
    return text


def carried(text: str, suffix: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in CARRIED) for row in rows_of(text, suffix)]


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("suffix", KINDS)
def test_an_export_can_be_imported_into_another_workspace(
    app: Flask, send: Send, posts: list[str], elsewhere: Any, suffix: str
) -> None:
    exported = send("GET", f"/posts/export?format={suffix}").get_data(as_text=True)
    table = renamed(app, elsewhere, exported, suffix)

    looked = elsewhere("POST", "/posts/import", table, KINDS[suffix]).json
    before = count(app, Post)
    stored = elsewhere("POST", "/posts/import?dry_run=false", table, KINDS[suffix]).json
    again = elsewhere("GET", f"/posts/export?format={suffix}").get_data(as_text=True)

    assert [item["error"] for item in looked["data"]] == [None] * len(posts)
    assert (before, stored["accepted"], stored["refused"]) == (len(posts), len(posts), 0)
    assert [item["index"] for item in stored["data"]] == [0, 2, 4, 6, 8, 9]  # the first row of each
    assert carried(again, suffix) == carried(exported, suffix)
    places = [[row[name] for name in ("channel_id", "video_id")] for row in rows_of(table, suffix)]
    assert places == [[row[name] for name in ("channel_id", "video_id")] for row in rows_of(again, suffix)]


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    row = {
        "post_id": "p",
        "video_id": "v",
        "channel_id": "c",
        "title": "x",
        "caption": text,
        "labels": [text or "x"],
    }

    found = tables.read_csv("".join(tables.as_csv(iter([dict.fromkeys(tables.EXPORTED) | row]))))

    post = found[0]
    assert isinstance(post, dict)
    assert (post["caption"], post["labels"]) == (text, [text or "x"])


def test_what_was_taken_off_or_has_passed_is_not_made_again(
    app: Flask, send: Send, posts: list[str], elsewhere: Any
) -> None:
    first, second = (send("GET", f"/posts/{posts[n]}").json["targets"] for n in (0, 4))
    send("POST", f"/targets/{first[0]['id']}/cancel")
    send("POST", f"/posts/{posts[4]}/cancel")
    past = clock.now() - timedelta(days=1)
    for target in send("GET", f"/posts/{posts[3]}").json["targets"]:
        set_state(app, target["id"], due_at=past, state="published")
    table = renamed(app, elsewhere, send("GET", "/posts/export").get_data(as_text=True), "csv")

    answers = elsewhere("POST", "/posts/import", table).json["data"]

    assert (len(second), len(answers[0]["post"]["targets"])) == (1, 1)
    assert [item["status"] for item in answers] == [200, 200, 200, 400, 422, 200]
    assert list(answers[4]["error"]["details"]) == ["status"]
    assert answers[3]["error"]["details"]["reason"] == "past"


def test_rows_of_one_post_must_agree_and_one_wrong_row_refuses_it_whole(
    app: Flask, send: Send, body: Body, pair: list[str], elsewhere: Any
) -> None:
    head = "post_id,video_id,channel_id,labels,options,scheduled_at\n"
    options = '"' + json.dumps(PRIVATE).replace('"', '""') + '"'
    lines = [f"{name},{body['video_id']},{channel},{label},{more},{body['scheduled_at']}"
             for name, channel, label, more in (
                 ("1", pair[0], "a", options), ("2", pair[0], "", options), ("1", pair[1], "b", options),
                 ("2", "not-an-id", "", options), ("3", pair[0], "", "{"), ("3", pair[1], "", options))]  # fmt: skip

    found = tables.read_csv(head + "\n".join(lines))
    answer = send("POST", "/posts/bulk", {"posts": [found[1]]}).json["data"][0]

    problems = {number: getattr(item, "details", None) for number, item in found.items()}
    assert {number: list(each) for number, each in problems.items() if each} == {
        0: ["labels"],
        4: ["options"],
    }
    assert (answer["status"], list(answer["error"]["details"]["targets"])) == (422, ["1"])
    assert count(app, Post) == 0


@pytest.mark.parametrize(
    "line", ["[]", "{", "7", '{"video": "x"}', "[" * 100_000, '{"x": NaN}', '{"x": 1e999}']
)
def test_a_line_that_is_no_row_is_answered_alone(elsewhere: Any, line: str) -> None:
    good = '{"video_id": "x", "channel_id": "y"}'

    answer = elsewhere("POST", "/posts/import", f"{good}\n{line}\n", "application/x-ndjson")

    assert [item["status"] for item in answer.json["data"]] == [422, 422]
    assert answer.json["data"][1]["error"]["details"].keys() <= {"row", "video"}


@pytest.mark.parametrize("cell", ["[" * 480 + "]" * 480, '{"a": 1e999}', '{"a": NaN}'], ids=len)
def test_a_cell_that_is_not_json_as_bodies_are_is_answered_alone(elsewhere: Any, cell: str) -> None:
    quoted = cell.replace('"', '""')

    answer = elsewhere(
        "POST", "/posts/import?dry_run=true", f'video_id,channel_id,metadata\nx,y,"{quoted}"\n', "text/csv"
    )

    (item,) = answer.json["data"]
    assert (item["status"], item["error"]["details"]) == (422, {"metadata": ["This is not JSON."]})


@pytest.mark.usefixtures("database_url")
def test_an_export_has_what_its_filter_names(
    app: Flask, send: Send, posts: list[str], pair: list[str]
) -> None:
    def exported(query: str) -> list[tuple[str, str]]:
        text = send("GET", f"/posts/export?format=jsonl&{query}").get_data(as_text=True)
        return [(row["post_id"], row["channel_id"]) for row in rows_of(text, "jsonl")]

    tomorrow = f"{clock.now() + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"

    assert exported("label=a%3Bb") == [(posts[0], channel) for channel in pair]
    assert exported(f"channel_id={pair[1]}&status=scheduled") == [(posts[n], pair[1]) for n in (0, 2, 3, 5)]
    assert exported("status=draft") == [(posts[1], channel) for channel in pair]
    assert len(exported(f"created_to={tomorrow}")) == 11
    assert exported(f"created_from={tomorrow}") == []


@pytest.mark.usefixtures("database_url")
def test_an_export_goes_on_where_a_page_of_it_is_short(
    send: Send, posts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH", 1)
    monkeypatch.setattr("app.models.page.MOST_LOOKED_AT", 2)

    everything = send("GET", "/posts/export?format=jsonl").get_data(as_text=True)
    labelled = send("GET", "/posts/export?format=jsonl&label=%3Dd").get_data(as_text=True)

    assert len({row["post_id"] for row in rows_of(everything, "jsonl")}) == len(posts)
    assert {row["post_id"] for row in rows_of(labelled, "jsonl")} == {posts[0]}
