"""A request that succeeds for every operation: the document's own example, with what is real put into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import clock
from tests.clips import picture_bytes
from tests.fuzz.world import BYTES, POSTING, World
from tests.rig import case_of

Json = dict[str, Any]
PICTURE = picture_bytes()
NEW_PASSWORD = "another horse battery"

# Where not the first of its kind is meant: operation -> name in path or body -> name in the world.
CHOSEN: Mapping[str, Mapping[str, str]] = {
    "accept_invitation": {"token": "invitation"},
    "archive_video": {"video_id": "unused_video_id"},
    "complete_upload": {"upload_id": "done_upload_id"},
    "delete_video": {"video_id": "unused_video_id"},
    "get_target_stats": {"target_id": "published_target_id"},
    "list_upload_parts": {"upload_id": "multipart_id"},
    "register": {"email": "new_email"},
    "remove_target": {"target_id": "published_target_id"},
    "reset_password": {"token": "reset"},
    "resolve_target": {"target_id": "unknown_target_id"},
    "sign_upload_parts": {"upload_id": "multipart_id"},
    "transfer_workspace": {"workspace_id": "shared_workspace_id"},
    "retry_target": {"target_id": "failed_target_id"},
}


TUS = {"Tus-Resumable": "1.0.0"}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "append_to_upload": TUS | {"Upload-Offset": "0"},
}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and description of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                yield method, path, operation


def good_requests(document: Json, world: World) -> dict[str, Request]:
    """Return a request for each operation by its operationId."""
    return {
        operation["operationId"]: _request(method, path, operation, world)
        for method, path, operation in operations(document)
    }


def _request(method: str, path: str, operation: Json, world: World) -> Request:
    known = known_values(world, operation["operationId"])
    headers = HEADERS.get(operation["operationId"], {})
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", str(value))
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return Request(method, path, headers=headers)
    if "application/offset+octet-stream" in content:
        return Request(method, path, BYTES, "application/offset+octet-stream", headers)
    if "multipart/form-data" in content:
        return Request(method, path, BYTES, "video/mp4")
    if "image/jpeg" in content:
        return Request(method, path, PICTURE, "image/jpeg")
    body = with_real_values(content["application/json"]["example"], known)
    return Request(method, path, body, "application/json", headers)


def known_values(world: World, operation_id: str = "") -> dict[str, Any]:
    """Return what is real in a world, by the names paths, queries and bodies have for it."""
    found: dict[str, Any] = {
        **world.ids,
        **world.texts,
        "current_password": world.texts["password"],
        "new_password": NEW_PASSWORD,
        "platform": POSTING,
        "timezone": "UTC",
        "scheduled_at": clock.isoformat(clock.now() + timedelta(days=3)),
        "url": "https://93.184.216.34/hook",
        "channel_ids": [world.ids["channel_id"]],
        "choice_ids": [world.texts["choice_id"]],
    }
    return found | {name: found[other] for name, other in CHOSEN.get(operation_id, {}).items()}


def with_real_values(value: Any, known: Mapping[str, Any]) -> Any:
    """Return a body with what is real in place of what bears its name."""
    if isinstance(value, list):
        return [with_real_values(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    body = {name: known.get(name, with_real_values(item, known)) for name, item in value.items()}
    if isinstance(targets := body.get("targets"), list):
        channels = [known["channel_id"], known["second_channel_id"]]
        named = zip(targets, channels, strict=False)
        body["targets"] = [
            item | {"channel_id": id_} if isinstance(item, dict) else item for item, id_ in named
        ]
        body["options"] = {POSTING: dict(case_of(POSTING).options)}
    return body
