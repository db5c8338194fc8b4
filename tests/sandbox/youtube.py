"""An app that speaks YouTube's protocol as written in the reference: no retries, no cleverness."""

from __future__ import annotations

from typing import Any

import requests

from sandbox.platforms._youtube_rules import GRAIN
from tests.platforms.sources import some_bytes

BODY = some_bytes(GRAIN + 1000)
SNIPPET: dict[str, Any] = {"title": "A title", "description": "words", "tags": ["a"], "categoryId": "22"}
STATUS: dict[str, Any] = {"privacyStatus": "private", "selfDeclaredMadeForKids": False}
JPEG = b"\xff\xd8\xff" + bytes(100)


class YouTube:
    def __init__(self, base_url: str, token: str) -> None:
        self.base = f"{base_url}/youtube"
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {token}"

    def session(self, *, size: int = len(BODY), **changes: Any) -> requests.Response:
        snippet: dict[str, Any] = SNIPPET | {
            name: value for name, value in changes.items() if name in SNIPPET
        }
        status: dict[str, Any] = STATUS | {
            name: value for name, value in changes.items() if name not in SNIPPET
        }
        url = f"{self.base}/upload/youtube/v3/videos?uploadType=resumable&part=snippet,status"
        headers = {"X-Upload-Content-Type": "video/mp4", "X-Upload-Content-Length": str(size)}
        return self.http.post(url, json={"snippet": snippet, "status": status}, headers=headers)

    def start(self, **options: Any) -> str:
        answer = self.session(**options)
        assert answer.status_code == 200, answer.text
        return answer.headers["Location"]

    def put(self, url: str, body: bytes, start: int = 0, total: int = len(BODY)) -> requests.Response:
        extent = f"bytes {start}-{start + len(body) - 1}/{total}"
        headers = {"Content-Type": "video/mp4", "Content-Range": extent}
        return self.http.put(url, data=body, headers=headers, allow_redirects=False)

    def ask(self, url: str, total: int = len(BODY)) -> requests.Response:
        return self.http.put(url, headers={"Content-Range": f"bytes */{total}"}, allow_redirects=False)

    def upload(self, **options: Any) -> str:
        answer = self.put(self.start(**options), BODY)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(method, f"{self.base}/youtube/v3/{path}", **options)

    def update(self, video_id: str, **status: Any) -> requests.Response:
        return self.call("PUT", "videos?part=status", json={"id": video_id, "status": status})

    def status(self, video_id: str) -> dict[str, Any]:
        items = self.call("GET", f"videos?part=status&id={video_id}").json()["items"]
        return dict(items[0]["status"]) if items else {}

    def thumbnail(self, video_id: str, body: bytes = JPEG) -> requests.Response:
        url = f"{self.base}/upload/youtube/v3/thumbnails/set?videoId={video_id}"
        return self.http.post(url, data=body, headers={"Content-Type": "image/jpeg"})

    def comment(self, video_id: str, text: str) -> requests.Response:
        top = {"snippet": {"textOriginal": text}}
        body = {"snippet": {"videoId": video_id, "topLevelComment": top}}
        return self.call("POST", "commentThreads?part=snippet", json=body)


def reason(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["errors"][0]["reason"])
