"""The oracle: Google's own client library uploads to the YouTube stand-in, and resumes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.http import MediaInMemoryUpload

from sandbox.platforms._youtube_rules import GRAIN
from tests.platforms.sources import some_bytes
from tests.sandbox.youtube import SNIPPET, STATUS
from tests.sandbox_server import SandboxServer, Sim


def google_client(server: SandboxServer, token: str) -> Any:
    """Return Google's own client, its addresses turned to the stand-in."""
    endpoint = f"{server.base_url}/youtube/"
    return build(
        "youtube",
        "v3",
        credentials=Credentials(token=token),
        static_discovery=True,
        client_options={"api_endpoint": endpoint},
    )


def upload_by_google(client: Any, server: SandboxServer, body: bytes) -> Any:
    media = MediaInMemoryUpload(body, "video/mp4", chunksize=GRAIN, resumable=True)
    asked = client.videos().insert(
        part="snippet,status", body={"snippet": SNIPPET, "status": STATUS}, media_body=media
    )
    path = urlsplit(asked.resumable_uri or asked.uri)
    asked.uri = f"{server.base_url}/youtube/upload/youtube/v3/videos?{path.query}"  # it insists on https
    return asked


def test_googles_own_client_uploads_in_chunks_and_resumes_after_a_dropped_one(
    server: SandboxServer, sim: Sim
) -> None:
    token, body = sim.token(platform="youtube")["access_token"], some_bytes(3 * GRAIN + 17)
    client = google_client(server, token)
    asked = upload_by_google(client, server, body)
    sim.fault("youtube.chunk", "drop_after", nth=2)
    answer = None
    while answer is None:
        try:
            _, answer = asked.next_chunk()
        except (ConnectionError, OSError):
            continue  # it asks then where to go on
    client.videos().update(
        part="status", body={"id": answer["id"], "status": {"privacyStatus": "public"}}
    ).execute()
    (post,) = sim.posts(platform="youtube")
    client.close()
    assert len(sim.requests(operation="youtube.session")) == 1
    assert len(sim.requests(operation="youtube.ask")) == 1
    assert requests.get(post["file_url"], timeout=5).content == body
