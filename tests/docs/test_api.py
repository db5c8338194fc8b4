"""docs/api.md: its examples work, and what it names is there."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from flask import Flask

from app import clock
from app.models import Webhook, page
from app.models.base import new_id
from app.routes import openapi
from app.schemas.posts import NewPostSchema
from app.services import deliveries, post_list, tables, webhooks
from tests.servers import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text()
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
BODY = '{"type":"target.published","data":{"seq":7,"caption":"Brötchen"}}'


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def headers(context: Flask) -> dict[str, str]:
    """The headers of a delivery as it is really signed."""
    id_ = new_id()
    webhook = Webhook(id=id_, secret_encrypted=webhooks.seal(id_, SECRET))
    return deliveries.signed(webhook, f"msg_{new_id().hex}", BODY, at=clock.now())


@pytest.fixture
def is_genuine() -> Any:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return names["is_genuine"]


def test_the_pasted_verification_accepts_our_calls(headers: dict[str, str], is_genuine: Any) -> None:
    assert is_genuine(SECRET, headers, BODY.encode())


@pytest.mark.parametrize(
    ("changed", "body"),
    [({}, BODY.replace("7", "8")), ({"webhook-id": "msg_other"}, BODY), ({"webhook-timestamp": "1"}, BODY),
     ({"webhook-signature": "v1,AAAA"}, BODY), ({"webhook-signature": ""}, BODY)],
    ids=["another body", "another id", "old", "another signature", "no signature"],
)  # fmt: skip
def test_the_pasted_verification_refuses_everything_else(
    headers: dict[str, str], is_genuine: Any, changed: dict[str, str], body: str
) -> None:
    assert not is_genuine(SECRET, headers | changed, body.encode())


def test_the_pasted_bodies_are_accepted_as_far_as_their_form_goes(app: Flask) -> None:
    with app.app_context():
        post = NewPostSchema().loads(block("json"))
        (row,) = tables.read_csv(block("csv")).values()
        assert isinstance(row, dict)
        imported = NewPostSchema().load(row)

    assert (len(post["targets"]), imported["caption"]) == (2, "Good morning.")


def test_every_address_on_the_page_is_an_operation(app: Flask) -> None:
    with app.app_context():
        paths = openapi.document(app)["paths"]
    known = {f"{m.upper()} {re.sub('{.*?}', '{id}', path)}" for path, item in paths.items() for m in item}

    named = {
        f"{method} /api/v1{path}" for method, path in re.findall(r"`(GET|POST|PATCH) (/[\w/{}-]*)", PAGE)
    }

    assert len(named) > 12
    assert named - known == set()


def test_every_column_of_a_table_is_named() -> None:
    assert [name for name in (*tables.IMPORTED, *tables.OF_RESULT) if f"`{name}`" not in PAGE] == []


def test_what_a_page_of_posts_may_cost_is_as_it_says() -> None:
    assert f"at most {page.MOST_LOOKED_AT:,}\nposts are looked through" in PAGE
    assert f"more than {post_list.FEW} posts" in PAGE
