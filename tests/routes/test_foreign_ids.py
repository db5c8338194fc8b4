"""What belongs to another workspace is, in every place that takes an id, what does not exist.

Paths come from the routes, places in queries and bodies from the OpenAPI document. Each is asked for three
times: with another workspace's row, with an id nobody has, and with the caller's own. The first two answers
must be the same, byte for byte but for the id; the last must succeed, so that nothing else was refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.routes.openapi import document
from app.services.tables import IMPORTED
from tests import factories
from tests.routes.id_places import NAMED_LIKE_IDS, places
from tests.routes.test_principals import TABLE
from tests.routes.world import NOBODY, PRIVATE, Headers, World, ask, bearer, make_world

POST = {"video_id": "video_id", "targets[].channel_id": "channel_id", "targets[].video_id": "video_id"}
TABLES = ("text/csv", "application/x-ndjson")
COLUMNS = {"video_id": "video_id", "channel_ids": "channel_id", "channel_id": "second_channel_id"}
# Which row of a world goes into each place that takes an id: route -> place -> name in World.ids.
IDS: dict[str, dict[str, str]] = {
    "GET /api/v1/posts": {"?channel_id": "channel_id"},
    "GET /api/v1/posts/export": {"?channel_id": "channel_id"},
    "GET /api/v1/targets": {"?channel_id": "channel_id"},
    "GET /api/v1/videos/<uuid:video_id>/fit": {"?channel_id": "channel_id"},
    "POST /api/v1/connections/<uuid:connection_id>/complete": {"choice_ids[]": "account_id"},
    "POST /api/v1/posts": POST,
    "POST /api/v1/posts/bulk": {f"posts[].{place}": name for place, name in POST.items()},
    "POST /api/v1/posts/import": {f"[].{place}": name for place, name in POST.items()}
    | {f"{kind} {column}": name for kind in TABLES for column, name in COLUMNS.items()},
    "POST /api/v1/posts/<uuid:post_id>/repost": {"channel_ids[]": "channel_id"},
    "PATCH /api/v1/targets/<uuid:target_id>": {"video_id": "second_video_id"},
    "PATCH /api/v1/posts/<uuid:post_id>": {
        "video_id": "video_id",
        "add_targets[].channel_id": "second_channel_id",
        "add_targets[].video_id": "second_video_id",
        "remove_targets[]": "target_id",
    },
    "POST /api/v1/workspaces/<uuid:workspace_id>/transfer": {"user_id": "friend_id"},
}
# Ids that are no row's of ours, and whose they are.
NOT_OURS = {
    "options.category_id": "YouTube's categories",
    "options.youtube.category_id": "YouTube's categories",
}
NAMES = {"post_id": "a table's own word for rows that belong together; no row of ours is found by it"}
# Parts whose form the document does not tell, and why no other place in them takes an id. Each is a decision.
AS_A_POST = "the body of POST /posts: its places stand in IDS"
KEPT = "kept and shown as it is, never read"
FREE: dict[tuple[str, str], str] = {
    ("POST /api/v1/connections", "credentials"): "what a platform asks for instead of a consent",
    ("POST /api/v1/posts", "metadata"): KEPT,
    ("POST /api/v1/posts/bulk", "posts[].metadata"): KEPT,
    ("POST /api/v1/posts/import", "[]"): AS_A_POST,
    **{("POST /api/v1/posts/import", kind): "a table: see IMPORTED" for kind in TABLES},
    ("PATCH /api/v1/posts/<uuid:post_id>", "metadata"): KEPT,
}


def a_post(ids: Mapping[str, str]) -> Any:
    target = {"channel_id": ids["channel_id"], "video_id": ids["video_id"]}
    return {"video_id": ids["video_id"], "draft": True, "options": PRIVATE, "targets": [target]}


def a_change(ids: Mapping[str, str]) -> Any:
    added = {"channel_id": ids["second_channel_id"], "video_id": ids["second_video_id"]}
    return {"video_id": ids["video_id"], "add_targets": [added], "remove_targets": [ids["target_id"]]}


# A body that succeeds with the caller's own rows, for each route in IDS that has one.
GOOD: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "POST /api/v1/connections/<uuid:connection_id>/complete": lambda ids: {"choice_ids": [ids["account_id"]]},
    "POST /api/v1/posts": a_post,
    "POST /api/v1/posts/bulk": lambda ids: {"posts": [a_post(ids)]},
    "POST /api/v1/posts/import": lambda ids: [a_post(ids)],
    "POST /api/v1/posts/<uuid:post_id>/repost": lambda ids: {
        "channel_ids": [ids["channel_id"]],
        "at_next_allowed": True,
    },
    "PATCH /api/v1/targets/<uuid:target_id>": lambda ids: {"video_id": ids["second_video_id"]},
    "PATCH /api/v1/posts/<uuid:post_id>": a_change,
    "POST /api/v1/workspaces/<uuid:workspace_id>/transfer": lambda ids: {"user_id": ids["friend_id"]},
}


@dataclass(frozen=True)
class Caller:
    """Somebody with a world of their own, who knows the ids of a stranger's."""

    headers: Headers
    is_key: bool
    own: World
    stranger: World

    def routes(self) -> list[str]:
        """Return what this caller may ask for at all: keys are kept from what is for people only."""
        return [route for route, (_role, scope) in TABLE.items() if scope is not None or not self.is_key]

    def places(self) -> Iterator[tuple[str, str, str]]:
        for route in (route for route in IDS if route in self.routes()):
            yield from ((route, place, name) for place, name in IDS[route].items())


@pytest.fixture(params=["login", "api_key"])
def caller(app: Flask, owner: factories.Person, request: pytest.FixtureRequest) -> Caller:
    with app.app_context():
        stranger, own = make_world(owner), make_world(factories.make_person())
        is_key = request.param == "api_key"
        proof = factories.make_api_key(own.owner) if is_key else factories.make_access_token(own.owner)
        return Caller(bearer(proof), is_key, own, stranger)


# -- asking


def said(answer: Any, *ids: str) -> tuple[int, str]:
    """Return an answer with nothing in it that tells these ids from others; of many answers in one the first."""
    text = answer.get_data(as_text=True)
    for id_ in ids:
        text = text.replace(id_, "ID")
    many = isinstance(answer.json, dict) and "accepted" in answer.json
    return (answer.json["data"][0]["status"] if many else answer.status_code), text


def rows(answer: Any) -> Any:
    """Return what a list or a table holds; None where it is neither."""
    return answer.json.get("data") if answer.is_json else answer.get_data(as_text=True).splitlines()[1:]


def send(client: FlaskClient, caller: Caller, route: str, place: str, id_: str) -> Any:
    """Ask for a route with the caller's own rows everywhere but this id in one place."""
    method, rule = route.split(" ")
    ids = caller.own.ids
    if "transfer" in rule:  # one's own workspace is not given away
        rule = rule.replace("<uuid:workspace_id>", ids["shared_workspace_id"])
    path = caller.own.path(rule, real=True) + ("?dry_run=false" if "import" in rule else "")
    kind, _, column = place.partition(" ")
    if kind in TABLES:
        row = {"video_id": ids["video_id"], "channel_ids": ids["channel_id"], "draft": "true", column: id_}
        text = table(row) if kind == "text/csv" else f"{json.dumps(row)}\n"
        return client.post(path, data=text, headers=caller.headers, content_type=kind)
    if place.startswith("?"):
        query = {place[1:]: id_}  # a table is streamed: read it whole before the next request
        return client.open(path, method=method, query_string=query, headers=caller.headers, buffered=True)
    body = put(GOOD[route](ids), place, id_)
    return client.open(path, method=method, json=body, headers=caller.headers)


def table(row: Mapping[str, str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row))
    writer.writeheader()
    writer.writerow(row)
    return text.getvalue()


def put(body: Any, place: str, value: str) -> Any:
    """Return the body with a value in a place such as `targets[].channel_id`: of a list, in its first member."""
    *way, last = [name for part in place.split(".") for name in part.replace("[]", ".0").split(".") if name]
    at = body
    for name in way:
        at = at[0] if name == "0" else at[name]
    at[0 if last == "0" else last] = value
    return body


# -- what is proved


def test_every_place_of_the_document_that_takes_an_id_is_in_the_table(app: Flask) -> None:
    with app.app_context():
        found = list(places(document(app)))

    ids = {(route, place) for route, place, is_id in found if is_id and not place.endswith(tuple(NOT_OURS))}
    free = {(route, place) for route, place, is_id in found if not is_id}
    named = [name for name in IMPORTED if NAMED_LIKE_IDS.search(name) and name not in NAMES]
    columns = {f"{kind} {name}" for kind in TABLES for name in named}
    in_free = {("POST /api/v1/posts/import", place) for place in columns} | {
        (route, f"{place}.{inner}")
        for (route, place), why in FREE.items()
        if why == AS_A_POST
        for other, inner in ids
        if other == "POST /api/v1/posts"
    }
    assert ids | in_free == {(route, place) for route, each in IDS.items() for place in each}
    assert free == set(FREE)
    assert len(ids) > 10


def test_a_strangers_path_is_a_path_to_nothing(client: FlaskClient, caller: Caller) -> None:
    wrong, named = {}, [route for route in caller.routes() if "<" in route]
    stranger = caller.stranger
    for route in named:
        rule = route.partition(" ")[2]
        theirs = ask(client, route, stranger, caller.headers, path=stranger.path(rule, real=True))
        nowhere = ask(client, route, stranger, caller.headers, path=stranger.nowhere(rule))
        answers = said(theirs, *stranger.ids.values()), said(nowhere, NOBODY)
        if answers[0] != answers[1] or theirs.json["error"]["code"] != "RESOURCE_NOT_FOUND":
            wrong[route] = answers

    assert len(named) > 35
    assert wrong == {}


def test_a_strangers_id_in_a_query_or_body_is_one_nobody_has(client: FlaskClient, caller: Caller) -> None:
    wrong = {}
    for route, place, name in caller.places():
        theirs = caller.stranger.ids[name]
        answers = [send(client, caller, route, place, id_) for id_ in (theirs, NOBODY)]
        told = said(answers[0], theirs), said(answers[1], NOBODY)
        if told[0] != told[1] or not (told[0][0] in {404, 422} or rows(answers[0]) == []):
            wrong[f"{route} {place}"] = told

    assert wrong == {}


def test_ones_own_id_is_taken_where_a_strangers_is_not(client: FlaskClient, caller: Caller) -> None:
    wrong = {}
    for route, place, name in caller.places():
        if next(iter(IDS[route])) != place and not place.startswith(TABLES):
            continue  # the same request: its body names all of the caller's own rows
        answer = send(client, caller, route, place, caller.own.ids[name])
        if said(answer)[0] not in {200, 201} or rows(answer) == []:
            wrong[f"{route} {place}"] = said(answer)

    assert wrong == {}


def test_a_strangers_workspace_in_the_header_is_one_nobody_has(client: FlaskClient, caller: Caller) -> None:
    wrong = {}
    for route in (route for route in caller.routes() if "workspace_id" not in route):
        path = caller.own.path(route.partition(" ")[2], real=False)
        theirs = caller.stranger.ids["workspace_id"]
        told = [
            said(ask(client, route, caller.own, {**caller.headers, "X-Workspace-Id": id_}, path=path), id_)
            for id_ in (theirs, NOBODY)
        ]
        if told[0] != told[1] or told[0][0] != 404:
            wrong[route] = told

    assert wrong == {}
