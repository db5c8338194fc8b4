"""An app that speaks TikTok's protocol as written in the reference: no retries, no cleverness."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from sandbox.state import CLIENT_ID, CLIENT_SECRET

CALLBACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 43
CHALLENGE = hashlib.sha256(VERIFIER.encode()).hexdigest()
BODY = b"a small video, as far as the sandbox can tell"


class TikTok:
    def __init__(self, base_url: str, token: str = "") -> None:
        self.base_url = f"{base_url}/tiktok"
        self.headers = {"Authorization": f"Bearer {token}"}
        self.http = requests.Session()
        self.http.trust_env = False

    # -- login
    def authorize(self, *, method: str = "GET", **changes: str | None) -> requests.Response:
        params: dict[str, str | None] = {
            "client_key": CLIENT_ID,
            "response_type": "code",
            "scope": "user.info.basic,video.publish",
            "redirect_uri": CALLBACK,
            "state": "s1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        options: dict[str, Any] = {"params" if method == "GET" else "data": params | changes}
        url = f"{self.base_url}/v2/auth/authorize/"
        return self.http.request(method, url, allow_redirects=False, **options)

    def code(self, **changes: str | None) -> str:
        return returned(self.authorize(auto="approve", **changes))["code"]

    def token(self, **changes: str) -> requests.Response:
        form = {"client_key": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return self.http.post(f"{self.base_url}/v2/oauth/token/", data=form | changes)

    def redeem(self, code: str, **changes: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return dict(self.token(code=code, **(form | changes)).json())

    def refresh(self, refresh_token: str, **changes: str) -> dict[str, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return dict(self.token(**(form | changes)).json())

    # -- posting
    def post(self, path: str, body: Any = None) -> requests.Response:
        return self.http.post(f"{self.base_url}/v2/{path}", json=body, headers=self.headers)

    def creator_info(self) -> requests.Response:
        return self.post("post/publish/creator_info/query/")

    def init(
        self, caption: str = "a caption", *, plan: tuple[int, int, int] | None = None, **info: Any
    ) -> Any:
        """Announce a direct post; `plan` is (video_size, chunk_size, total_chunk_count)."""
        size, chunk, count = plan or (len(BODY), len(BODY), 1)
        source = {
            "video_size": size,
            "chunk_size": chunk,
            "total_chunk_count": count,
            "source": "FILE_UPLOAD",
        }
        post = {"title": caption, "privacy_level": "PUBLIC_TO_EVERYONE"} | info
        return self.post("post/publish/video/init/", {"post_info": post, "source_info": source})

    def start(self, caption: str = "a caption", **options: Any) -> Any:
        answer = self.init(caption, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def put(
        self, url: str, body: bytes = BODY, *, start: int = 0, total: int | None = None
    ) -> requests.Response:
        end, whole = start + len(body) - 1, total or len(body)
        headers = {"Content-Type": "video/mp4", "Content-Range": f"bytes {start}-{end}/{whole}"}
        return requests.put(url, data=body, headers=headers, timeout=20)

    def publish(self, caption: str = "a caption", **info: Any) -> str:
        handle = self.start(caption, **info)
        assert self.put(handle["upload_url"]).status_code == 201
        return str(handle["publish_id"])

    def status(self, publish_id: str) -> dict[str, Any]:
        return dict(self.post("post/publish/status/fetch/", {"publish_id": publish_id}).json()["data"])


def returned(answer: requests.Response) -> dict[str, str]:
    """The query with which a consent page sends the browser back."""
    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"].startswith(CALLBACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def error_code(answer: requests.Response) -> str:
    return str(answer.json()["error"]["code"])
