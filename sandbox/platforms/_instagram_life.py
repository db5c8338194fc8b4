"""What becomes of a container at Instagram: its bytes, its status by the clock, and its one post."""

from __future__ import annotations

import secrets
import threading
import time
from base64 import urlsafe_b64encode
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from sandbox.platforms._instagram_rules import media_fault, size_fault
from sandbox.platforms._meta import GraphError
from sandbox.posts import Post
from sandbox.probe import probe
from sandbox.state import Sandbox
from sandbox.uploads import Upload

FETCH_SECONDS = 20.0  # how long a link may take to begin to answer
QUICK_SECONDS = 2.0  # how long the call that makes a container waits for its file
_fetching: set[str] = set()
_guard = threading.Lock()


def state(sandbox: Sandbox, container: Upload) -> tuple[str, int]:
    """Return a container's status code by now, and the subcode of its failure, or 0."""
    now = sandbox.now()
    if container.post_ids:
        return "PUBLISHED", 0
    if container.expires_at <= now:
        return "EXPIRED", 0
    done_at = container.details.get("done_at")
    if done_at is None or now < done_at + container.processing_seconds:
        return "IN_PROGRESS", 0
    cause = int(container.details.get("cause", 0))
    return ("ERROR", cause) if cause else ("FINISHED", 0)


def complete(sandbox: Sandbox, container: Upload) -> None:
    """Note that all bytes are there, and what is wrong with them. The caller stores the container."""
    container.details["done_at"] = sandbox.now()
    container.processing_seconds = sandbox.settings.processing_seconds / sandbox.settings.speed
    asked = container.markers.get("fail", "")
    cause = int(asked) if asked.isdigit() else 2207082 if "fail" in container.markers else 0
    cause = cause or size_fault(container.size)
    if not cause and sandbox.settings.measure_media:
        cause = media_fault(probe(sandbox.files.path(container.id)), size=container.size)
    container.details["cause"] = cause


# -- a link that is fetched


def check_link(url: str) -> requests.Response:
    """Open a link as Instagram's servers do. Raises GraphError 9004/2207052 unless it answers with a file."""
    try:
        if urlsplit(url).scheme not in ("http", "https") or not url.isascii():
            raise ValueError("not a plain link")
        session = requests.Session()
        session.trust_env = False  # loopback needs no proxy
        answer = session.get(url, stream=True, timeout=FETCH_SECONDS, allow_redirects=False)
    except (requests.RequestException, ValueError):
        raise _unfetched() from None
    if answer.status_code != 200:
        answer.close()
        raise _unfetched()
    return answer


def _unfetched() -> GraphError:
    return GraphError(
        400, 9004, "Only photo or video can be accepted: the URI cannot be fetched.", subcode=2207052
    )


def fetch(sandbox: Sandbox, container: Upload, answer: requests.Response) -> None:
    """Take a link's file in, in a thread; wait a moment for it, so that a small one is there at once."""
    with _guard:
        _fetching.add(container.id)
    thread = threading.Thread(target=_take_in, args=(sandbox, container, answer), daemon=True)
    thread.start()
    thread.join(QUICK_SECONDS)


def fetch_again(sandbox: Sandbox, container: Upload) -> None:
    """Begin anew to fetch a file whose fetching a restart has ended."""
    with _guard:
        stands_still = container.id not in _fetching
    if container.details["mode"] != "url" or "done_at" in container.details or not stands_still:
        return
    try:
        fetch(sandbox, container, check_link(container.details["video_url"]))
    except GraphError as refusal:
        _fail(sandbox, container, refusal.subcode)


def _take_in(sandbox: Sandbox, container: Upload, answer: requests.Response) -> None:
    try:
        with answer:
            _store(sandbox, container, answer.raw, answer.headers.get("Content-Type", "video/mp4"))
    except (OSError, requests.RequestException):
        _fail(sandbox, container, 2207003)
    finally:
        with _guard:
            _fetching.discard(container.id)


def _store(sandbox: Sandbox, container: Upload, stream: IO[bytes], content_type: str) -> None:
    piece = sandbox.files.receive(container.id, stream, start=0, length=10**12)
    with sandbox.files.lock(container.id):
        sandbox.files.append(container.id, piece)
        with sandbox.store.transaction():
            container.size = container.received = piece.length
            container.content_type = content_type.partition(";")[0]
            container.details["sha256"] = piece.hasher.hexdigest()
            complete(sandbox, container)
            sandbox.uploads.put(container)
    sandbox.files.finish(container.id)


def _fail(sandbox: Sandbox, container: Upload, cause: int) -> None:
    with sandbox.store.transaction():
        container.details |= {"done_at": sandbox.now(), "cause": cause}
        sandbox.uploads.put(container)


# -- publishing


def publish(sandbox: Sandbox, container: Upload, *, received_at: float) -> Post:
    """Make the container's one post exist. Raises GraphError; a second call never makes a second post."""
    with sandbox.store.transaction():
        status, _ = state(sandbox, container)
        if status in ("PUBLISHED", "ERROR"):
            raise GraphError(400, 24, "The requested media does not exist any more.", subcode=2207006)
        if status == "EXPIRED":
            raise GraphError(400, 24, "The media builder has expired.", subcode=2207008)
        if status != "FINISHED":
            raise GraphError(400, 9007, "The media is not ready to be published.", subcode=2207027)
        post = _post(sandbox, container, received_at)
        container.committed_at = sandbox.now()
        container.post_ids.append(post.id)
        sandbox.uploads.put(container)
        return sandbox.posts.put(post)


def _post(sandbox: Sandbox, container: Upload, received_at: float) -> Post:
    number, now = str(17 * 10**15 + secrets.randbelow(10**15)), sandbox.now()
    lag = sandbox.settings.moderation_seconds / sandbox.settings.speed
    post = Post(
        id=number,
        platform="instagram",
        account=container.account,
        caption=container.details["caption"],
        privacy="PUBLIC",
        sha256=container.details["sha256"],
        size=container.size,
        content_type=container.content_type,
        file=container.id,
        publish_id=container.publish_id,
        path=f"/instagram/reel/{shortcode(number)}/",
        created_at=now,
        visible_at=now + lag,
        commit_received_at=received_at,
        commit_finished_at=time.time(),
    )
    if "late-reject" in container.markers:
        later = sandbox.settings.late_reject_seconds / sandbox.settings.speed
        post.removed_at, post.removed_reason = post.visible_at + later, "removed by moderation"
    return post


def shortcode(number: str) -> str:
    """Return the name of a post in addresses: its number in other digits."""
    return urlsafe_b64encode(int(number).to_bytes(8, "big")).decode().rstrip("=")


def video_status(container: Upload, status: str) -> dict[str, Any]:
    """Return how far an upload is, as the node tells it."""
    whole = container.size >= 0 and container.is_complete()
    phase = {"status": "complete" if whole else "in_progress", "bytes_transferred": container.received}
    size = {"source_file_size": container.size} if container.size >= 0 else {}
    processed = {"FINISHED": "complete", "PUBLISHED": "complete", "ERROR": "error"}.get(status, "in_progress")
    return {"uploading_phase": phase | size, "processing_phase": {"status": processed}}
