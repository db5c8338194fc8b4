from __future__ import annotations

import re

from flask.testing import FlaskClient

from app.routes.docs import code_marks


def test_the_page_explains_every_operation(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").get_json()

    page = client.get("/docs").get_data(as_text=True)

    names = [
        operation["operationId"]
        for item in spec["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert [name for name in names if f'<details id="{name}">' not in page] == []


def test_fields_are_shown_with_type_need_and_bounds(client: FlaskClient) -> None:
    page = client.get("/docs").get_data(as_text=True)

    assert re.search(r"<code>password</code></td><td>password</td><td>yes</td>.*10", page)
    assert "<code>user.email</code>" in page
    assert "<code>data[].prefix</code>" in page
    assert "list of one of read, write, publish" in page
    assert "<code>limit (query)</code></td><td>integer</td>" in page


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs").get_data(as_text=True)

    assert "<script" not in page
    assert re.findall(r"<(?:link|img|iframe)[^>]+(?:href|src)=\"(?!data:)[^\"]*", page) == []


def test_marked_code_is_shown_as_code_and_markup_as_text() -> None:
    assert code_marks("`a<b>` and <i>") == "<code>a&lt;b&gt;</code> and &lt;i&gt;"
