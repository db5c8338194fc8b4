"""`make demo`, while `make run` is up: a fresh clip goes the whole way, from a file to a page on every platform.

`CHAOS=1` kills every worker with SIGKILL while a platform is being called, and shows that each post still
comes out once. `python -m jobs.demo FILE` only makes the clip.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from app import clock
from jobs import environment, seed, sessions
from jobs.demo_api import Api, DemoFailed, console, make_clip, polled, upload

SECONDS_AHEAD = 12
ENDINGS = {"published", "failed", "missed", "cancelled", "action_required"}


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
    """Make, upload, schedule and follow one clip on every platform. Raises DemoFailed."""
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
    post = schedule(api, video["id"], name=name, marker=" [sim:slow=4]" if chaos else "")
    targets = follow(api, post["id"], kill=data_dir if chaos else None)
    tell_the_end(api, targets, stack["sandbox_url"], name=name)


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


def schedule(api: Api, video_id: str, *, name: str, marker: str) -> dict[str, Any]:
    """Schedule the video on a sandbox channel of each platform, a few seconds ahead; return the post."""
    platforms = {each["name"]: each for each in api.call("GET", "/platforms")["data"] if each["sandbox"]}
    channels = {each["platform"]: each for each in api.call("GET", "/channels?limit=100")["data"]}
    chosen = [channels[each] for each in platforms if each in channels]
    if not chosen:
        raise DemoFailed("No sandbox channel is connected. Stop `make run` and start it again.")
    due_at = clock.now() + timedelta(seconds=SECONDS_AHEAD)
    body = {
        "video_id": video_id,
        "scheduled_at": due_at.isoformat(),
        "options": {each["platform"]: chosen_options(platforms[each["platform"]]) for each in chosen},
        "targets": [_target(channel, platforms[channel["platform"]], name, marker) for channel in chosen],
    }
    post: dict[str, Any] = api.call("POST", "/posts", json=body)
    console.print(f"[green]✓[/green] Scheduled for {due_at:%H:%M:%S} UTC on the sandbox's")
    for channel in chosen:
        console.print(f"  {platforms[channel['platform']]['label']:<10} {channel['display_name']}")
    return post


def _target(
    channel: Mapping[str, Any], platform: Mapping[str, Any], name: str, marker: str
) -> dict[str, Any]:
    """Return a target with a text of its own, which the platform's posts are found by."""
    words = f"{name} for {platform['label']}"
    return {"channel_id": channel["id"], "title": words, "caption": f"{words}{marker}"}


def chosen_options(platform: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first choice of every option that a person would have to choose, and no for an answer."""
    undecided = (option for option in platform["options"] if option["default"] is None)
    return {
        option["name"]: option["choices"][0] if option["choices"] else False
        for option in undecided
        if option["choices"] or (option["required"] and option["kind"] == "boolean")
    }


def follow(api: Api, post_id: str, *, kill: Path | None) -> list[dict[str, Any]]:
    """Say each change of the targets until all end; `kill` is DATA_DIR when its workers are to die half way."""
    stages: dict[str, str] = {}
    began = time.monotonic()
    with console.status("Waiting for the time to come ...") as status:
        for post in polled(lambda: api.call("GET", f"/posts/{post_id}"), pause=0.2):
            targets: list[dict[str, Any]] = post["targets"]
            for target in targets:
                if stages.get(target["id"]) != target["stage"]:
                    stages[target["id"]] = target["stage"]
                    seconds = time.monotonic() - began
                    console.print(f"  {seconds:5.1f} s  {target['platform']:<10} {target['stage']}")
            if kill and "publishing" in stages.values():
                kill_workers(kill)
                kill = None
                status.update("Nobody knows what became of the calls; the platforms will be asked ...")
            if all(_is_over(target) for target in targets):
                break
    return targets


def _is_over(target: Mapping[str, Any]) -> bool:
    """Published comes first, the platform's own name for the post a little later."""
    return target["status"] in ENDINGS and (target["status"] != "published" or bool(target["remote_id"]))


def kill_workers(data_dir: Path) -> None:
    """Kill every worker process with SIGKILL, the one that is calling the platform among them."""
    leader = int((data_dir / "run" / "workers.pid").read_text())
    workers = sessions.members(leader)
    sessions.end(workers, by=signal.SIGKILL)
    console.print(f"[red]✗ kill -9 {' '.join(map(str, workers))}[/red]   (in the middle of the call)")


def tell_the_end(api: Api, targets: Sequence[Mapping[str, Any]], sandbox_url: str, *, name: str) -> None:
    """Print how each ended and what its platform itself counted. Raises DemoFailed unless each is there once."""
    labels = {each["name"]: each["label"] for each in api.call("GET", "/platforms")["data"]}
    made = posts_made(sandbox_url, name)
    wrong = []
    console.print("Watch it here:")
    for target in targets:
        label, count = labels[target["platform"]], made.count(target["platform"])
        if target["status"] != "published" or count != 1:
            wrong.append(f"{label} ended as {target['status']}: {target.get('error')}")
        mark = "[red]✗[/red]" if target["status"] != "published" else "[green]✓[/green]"
        console.print(f"{mark} {label:<10} {target['permalink']}")
        console.print(f"  posts on the platform: {count}")
    if wrong:
        raise DemoFailed("\n".join([*wrong, "Each should have been published exactly once."]))


def posts_made(sandbox_url: str, name: str) -> list[str]:
    """Return the platform of each post that the sandbox has of this demo, by its text."""
    with requests.Session() as http:
        http.trust_env = False  # the sandbox is on loopback
        posts = http.get(f"{sandbox_url}/__sim/posts", params={"limit": "1000"}, timeout=30).json()["posts"]
    return [post["platform"] for post in posts if name in json.dumps(post)]


if __name__ == "__main__":
    sys.exit(main())
