"""What `make demo` needs of the world: the HTTP API with the demo's key, a clip, an upload with a progress bar."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from app.embedded import find_ffmpeg

PATIENCE_SECONDS = 300
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


def polled(ask: Any, *, pause: float) -> Iterator[Any]:
    """Yield what `ask` answers, again and again. Raises DemoFailed after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield ask()
        time.sleep(pause)
    raise DemoFailed(f"Nothing more happened within {PATIENCE_SECONDS} seconds. Look at the logs.")


def make_clip(path: Path, *, name: str) -> Path:
    """Write a vertical clip of 8 seconds, 720x1280, H.264 and AAC; no two are alike."""
    ffmpeg = find_ffmpeg(os.environ.get("FFMPEG_PATH", ""))
    if ffmpeg is None:
        raise DemoFailed("There is no ffmpeg.")
    picture = f"testsrc2=size=720x1280:rate=30:duration=8,hue=h={secrets.randbelow(360)}"
    # No edit list: not every platform takes one. So nothing may be shifted, neither by B-frames nor by the sound.
    encoding = "-c:v libx264 -preset veryfast -bf 0 -pix_fmt yuv420p -c:a aac -shortest"
    container = "-movflags +faststart -use_editlist 0 -avoid_negative_ts disabled"
    command = [ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:duration=8", *encoding.split(), *container.split()]
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
