from __future__ import annotations

import re

from flask.testing import FlaskClient


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
