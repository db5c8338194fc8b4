"""`make demo`, while `make run` is up: a fresh clip goes the whole way, from a file to a page that plays it.

`CHAOS=1` kills every worker with SIGKILL while the platform is being called, and shows that the post still
comes out once. `python -m jobs.demo FILE` only makes the clip.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from app import clock
from app.embedded import find_ffmpeg
from jobs import environment, seed, sessions

SECONDS_AHEAD = 8
PATIENCE_SECONDS = 300
ENDINGS = {"published", "failed", "missed", "cancelled", "action_required"}
console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """The demo cannot go on; the message says why and what to do."""


class Api:
    """The HTTP API with the demo's key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = f"{url}/api/v1"
        self.http = requests.Session()
        self.http.trust_env = False  # loopback needs no proxy
        self.http.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the answer's JSON. Raises DemoFailed with the API's own words."""
        answer = self.http.request(method, f"{self.url}{path}", timeout=60, **options)
        if not answer.ok:
            raise DemoFailed(f"{method} {path} answered HTTP {answer.status_code}:\n{answer.text[:2000]}")
        return answer.json()


def main() -> int:
    """Run the demo; return the exit code."""
    try:
        if len(sys.argv) > 1:
            make_clip(Path(sys.argv[1]), name=f"clip {secrets.token_hex(4)}")
            return 0
        show(chaos=os.environ.get("CHAOS", "") not in {"", "0"})
    except (DemoFailed, requests.ConnectionError) as trouble:
        console.print(f"\n[red]{trouble}[/red]")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def show(*, chaos: bool) -> None:
    """Make, upload, schedule and follow one clip. Raises DemoFailed."""
    data_dir = environment.make_data_dir(environment.given_environment())
    stack, demo = environment.running_stack(data_dir), seed.read_demo(data_dir)
    if not stack or not stack.get("sandbox_url") or not demo.get("api_key"):
        raise DemoFailed("`make run` is not up. Start it in another terminal, then come back.")
    api = Api(stack["url"], demo["api_key"])
    name = f"demo {secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", name=name)
        video = upload(api, clip, title=name)
    wait_until_measured(api, video["id"])
    post = schedule(api, video["id"], caption=f"{name} [sim:slow=4]" if chaos else name)
    target = follow(api, post["id"], kill=data_dir if chaos else None)
    tell_the_end(target, stack["sandbox_url"], caption=name)


def make_clip(path: Path, *, name: str) -> Path:
    """Write a vertical clip of 8 seconds, 720x1280, H.264 and AAC; no two are alike."""
    ffmpeg = find_ffmpeg(os.environ.get("FFMPEG_PATH", ""))
    if ffmpeg is None:
        raise DemoFailed("There is no ffmpeg.")
    picture = f"testsrc2=size=720x1280:rate=30:duration=8,hue=h={secrets.randbelow(360)}"
    command = [ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture]
    command += [
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=8",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
    ]
    command += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", "-movflags", "+faststart"]
    with console.status("Making a clip (720x1280, 8 s) ..."):
        made = subprocess.run(  # noqa: S603 - our own command
            [*command, "-y", "-metadata", f"comment={name}", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode:
        raise DemoFailed(f"ffmpeg could not make the clip:\n{made.stderr[-1000:]}")
    console.print(f"[green]✓[/green] A clip was made: {path.stat().st_size / 1e6:.1f} MB")
    return path


class Reading:
    """A file that tells a progress bar what was read of it. `len()` lets the length be sent ahead."""

    def __init__(self, file: BinaryIO, progress: Progress, size: int) -> None:
        self._file, self._progress, self._size = file, progress, size
        self._task = progress.add_task("Uploading", total=size)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._progress.advance(self._task, len(piece))
        return piece


def upload(api: Api, clip: Path, *, title: str) -> dict[str, Any]:
    """Stream the clip through the API with a progress bar; return the video."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    headers = {"Content-Type": "video/mp4", "X-Filename": clip.name}
    with clip.open("rb") as file, Progress(*columns, console=console) as progress:
        body = Reading(file, progress, clip.stat().st_size)
        video: dict[str, Any] = api.call(
            "POST", "/videos", data=body, headers=headers, params={"title": title}
        )
    return video


def wait_until_measured(api: Api, video_id: str) -> None:
    with console.status("Measuring it ..."):
        for video in polled(lambda: api.call("GET", f"/videos/{video_id}"), pause=0.2):
            if video["state"] != "processing":
                break
    if video["state"] != "ready":
        raise DemoFailed(f"The video was not accepted: {video.get('error')}")
    console.print(f"[green]✓[/green] It was measured and is ready: {_facts(video.get('facts') or {})}")


def _facts(facts: Mapping[str, Any]) -> str:
    size, length = f"{facts.get('width')}x{facts.get('height')}", f"{facts.get('duration_seconds')} s"
    return ", ".join((str(facts.get("container")), str(facts.get("video_codec")), size, length))


def schedule(api: Api, video_id: str, *, caption: str) -> dict[str, Any]:
    """Schedule the video on the first sandbox channel, a few seconds ahead; return the post."""
    platforms = {each["name"]: each for each in api.call("GET", "/platforms")["data"] if each["sandbox"]}
    channels = api.call("GET", "/channels")["data"]
    channel = next((each for each in channels if each["platform"] in platforms), None)
    if channel is None:
        raise DemoFailed("No sandbox channel is connected. Stop `make run` and start it again.")
    platform = platforms[channel["platform"]]
    due_at = clock.now() + timedelta(seconds=SECONDS_AHEAD)
    body = {
        "video_id": video_id,
        "caption": caption,
        "scheduled_at": due_at.isoformat(),
        "options": {platform["name"]: chosen_options(platform)},
        "targets": [{"channel_id": channel["id"]}],
    }
    post: dict[str, Any] = api.call("POST", "/posts", json=body)
    where = f"@{channel['username']} on {platform['label']} (sandbox)"
    console.print(f"[green]✓[/green] Scheduled for {due_at:%H:%M:%S} UTC on {where}")
    return post


def chosen_options(platform: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first choice of every option a person would have to choose."""
    required = (option for option in platform["options"] if option["required"])
    return {option["name"]: option["choices"][0] for option in required if option["choices"]}


def follow(api: Api, post_id: str, *, kill: Path | None) -> dict[str, Any]:
    """Say each change of the target until it ends; `kill` is DATA_DIR when its workers are to die half way."""
    stage, began = "", time.monotonic()
    with console.status("Waiting for the time to come ...") as status:
        for post in polled(lambda: api.call("GET", f"/posts/{post_id}"), pause=0.2):
            target: dict[str, Any] = post["targets"][0]
            if target["stage"] != stage:
                stage = target["stage"]
                console.print(f"  {time.monotonic() - began:5.1f} s  {stage}")
            if kill and stage == "publishing":
                kill_workers(kill)
                kill = None
                status.update("Nobody knows what became of the call; the platform will be asked ...")
            # Published comes first, the platform's own name for the post a little later.
            if target["status"] in ENDINGS and (target["status"] != "published" or target["remote_id"]):
                break
            if target["status"] == "published":
                status.update("Published. Waiting for the platform to tell the address ...")
    return target


def kill_workers(data_dir: Path) -> None:
    """Kill every worker process with SIGKILL, the one that is calling the platform among them."""
    leader = int((data_dir / "run" / "workers.pid").read_text())
    workers = sessions.members(leader)
    sessions.end(workers, by=signal.SIGKILL)
    console.print(f"[red]✗ kill -9 {' '.join(map(str, workers))}[/red]   (in the middle of the call)")


def tell_the_end(target: Mapping[str, Any], sandbox_url: str, *, caption: str) -> None:
    """Print how it ended and what the platform itself counted. Raises DemoFailed unless it was published."""
    if target["status"] != "published":
        raise DemoFailed(f"It ended as {target['status']}: {target.get('error')}")
    with environment_free() as http:
        posts = http.get(f"{sandbox_url}/__sim/posts", timeout=30).json()["posts"]
    made = [post for post in posts if caption in post["caption"]]
    console.print("[green]✓[/green] Published. Watch it here:")
    console.print(f"  {target['permalink']}")
    console.print(f"posts on the platform: {len(made)}")
    if len(made) != 1:
        raise DemoFailed("That should have been exactly one.")


@contextmanager
def environment_free() -> Iterator[requests.Session]:
    """A session that looks at no proxy settings: the sandbox is on loopback."""
    with requests.Session() as http:
        http.trust_env = False
        yield http


def polled(ask: Any, *, pause: float) -> Iterator[Any]:
    """Yield what `ask` answers, again and again. Raises DemoFailed after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield ask()
        time.sleep(pause)
    raise DemoFailed(f"Nothing more happened within {PATIENCE_SECONDS} seconds. Look at the logs.")


if __name__ == "__main__":
    sys.exit(main())
