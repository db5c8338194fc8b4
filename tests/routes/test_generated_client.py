"""A typed client, made of the published document by somebody else's generator, talks to a running server."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from app.domain import target_error
from app.routes import openapi
from tests.routes.conftest import Body, set_state

# The generator knows these kinds of a body by another name; nothing of the document is left out for it.
CONFIG = """\
content_type_overrides:
  application/offset+octet-stream: application/octet-stream
  text/csv: application/octet-stream
  application/x-ndjson: application/octet-stream
  video/*: application/octet-stream
  image/jpeg: application/octet-stream
  image/png: application/octet-stream
post_hooks: []
"""
NAME = "generated_video_client"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the import path; what was imported from it is forgotten afterwards."""
    found = tmp_path_factory.mktemp("client")
    sys.path.insert(0, str(found))
    yield found
    sys.path.remove(str(found))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def generated(app: Flask, folder: Path) -> Path:
    """The client's package, generated once, without a warning."""
    package = folder / NAME
    if not package.exists():
        with app.app_context():
            (folder / "openapi.json").write_text(json.dumps(openapi.document(app)))
        (folder / "config.yaml").write_text(CONFIG)
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
        command += ["--path", "openapi.json", "--config", "config.yaml", "--meta", "none"]
        made = subprocess.run(
            [*command, "--output-path", NAME], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return package


@pytest.fixture
def server(app: Flask) -> Iterator[str]:
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def client(generated: Path, server: str, api_key_headers: dict[str, str]) -> Iterator[Any]:
    """The generated client, logged in by an API key."""
    module = importlib.import_module(NAME)
    token = api_key_headers["Authorization"].split()[1]
    with module.AuthenticatedClient(server, token, httpx_args={"trust_env": False}) as made:
        yield made


def part(name: str) -> ModuleType:
    return importlib.import_module(f"{NAME}.{name}")


def test_every_operation_has_a_function(app: Flask, generated: Path) -> None:
    with app.app_context():
        paths = openapi.document(app)["paths"]
    wanted = {
        item[method]["operationId"].lower()
        for item in paths.values()
        for method in openapi.METHODS
        if method in item
    }

    made = {path.stem.replace("_", "") for path in (generated / "api").glob("*/*.py")}

    assert {name.replace("_", "") for name in wanted} - made == set()


def test_a_post_is_made_once_read_back_and_listed(client: Any, body: Body) -> None:
    asked = part("models").NewPost.from_dict(body)
    create = part("api.posts.create_post")

    made, again = (create.sync(client=client, body=asked, idempotency_key="k1") for _ in range(2))

    found = part("api.posts.get_post").sync(made.id, client=client)
    assert (found.id, found.caption, found.targets[0].status) == (made.id, "Hello", "scheduled")
    assert again.id == made.id
    assert found.targets[0].due_at.utcoffset() is not None
    listed = part("api.targets.list_targets").sync(
        client=client, status=part("models").ListTargetsStatus("scheduled")
    )
    assert [target.post_id for target in listed.data] == [made.id]


def test_a_refusal_is_typed_too(client: Any, body: Body) -> None:
    asked = part("models").NewPost.from_dict(body | {"caption": "x" * 3000})

    refused = part("api.posts.create_post").sync_detailed(client=client, body=asked)

    assert refused.status_code == 422
    assert refused.parsed.error.code == "PLATFORM_VALIDATION_ERROR"
    assert refused.parsed.error.details.to_dict()["targets.0.caption"]


def test_what_went_wrong_with_a_target_is_typed(app: Flask, client: Any, body: Body) -> None:
    made = part("api.posts.create_post").sync(client=client, body=part("models").NewPost.from_dict(body))
    set_state(app, str(made.targets[0].id), state="failed", error=target_error.missed("tiktok"))

    found = part("api.targets.get_target").sync(made.targets[0].id, client=client)

    assert (found.error.code, found.error.kind, found.error.action) == ("MISSED", "content", "edit")
    assert (found.error.retry_after, found.rendition, found.version) == (None, None, made.version)


def test_each_answer_of_many_is_typed(client: Any, body: Body) -> None:
    asked = part("models").Bulk.from_dict({"posts": [body, body | {"caption": "x" * 3000}]})

    tried, _ = part("api.bulk.create_posts").sync(client=client, body=asked, dry_run=True).data
    good, bad = part("api.bulk.create_posts").sync(client=client, body=asked).data

    assert (good.status, good.post.targets[0].status, good.error) == (201, "scheduled", None)
    assert (bad.status, bad.post, bad.error.code) == (422, None, "PLATFORM_VALIDATION_ERROR")
    assert (tried.status, tried.post.dry_run) == (200, True)


def test_a_platforms_options_have_names_and_kinds(client: Any, body: Body) -> None:
    asked = part("models").NewPost.from_dict(body | {"options": {"tiktok": {"privacy_level": "SELF_ONLY"}}})
    asked.options.tiktok.allow_duet = True

    made = part("api.posts.create_post").sync(client=client, body=asked)

    assert asked.options.tiktok.privacy_level == "SELF_ONLY"
    assert made.options.to_dict() == {"tiktok": {"privacy_level": "SELF_ONLY", "allow_duet": True}}
