"""What `make run` and `make serve` print when all is up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import seed

if TYPE_CHECKING:
    from jobs.stack import Stack


def addresses(stack: Stack) -> list[tuple[str, str]]:
    """Return name and address of everything a browser can open."""
    url = stack.settings.public_url.rstrip("/") if stack.mode == "serve" else stack.url
    found = [("App", f"{url}/"), ("API docs", f"{url}/docs"), ("Health", f"{url}/health/detailed")]
    if stack.sandbox_url:
        found.append(("Sandbox", f"{stack.sandbox_url}/feed   (posts arrive here)"))
    return found


def show(stack: Stack, demo: seed.Seed | None) -> None:
    """Print the addresses, what is shown once, and what to try next."""
    from jobs.stack import say

    say(f"\nReady in {time.monotonic() - stack.began:.1f} s.\n")
    for name, address in [*addresses(stack), ("Logs", f"{_short(stack.data_dir)}/logs/")]:
        say(f"  {name:<10} {address}")
    say("")
    for line in _credentials(demo, stack.data_dir) if demo else _first_user(stack):
        say(f"  {line}")
    if demo:
        say("\n  Try next   make demo             in a second terminal: a clip goes out, start to end")
        say("             make demo CHAOS=1     the same, with the worker killed half way")
    say("  Ctrl-C stops everything.\n")


def _credentials(demo: seed.Seed, data_dir: Path) -> list[str]:
    facts = demo.demo
    if not facts:
        return ["This database has people already, so no demo login was made."]
    if not facts.get("password"):
        return [f"Login      {facts['email']} (password and key were shown at the first start)"]
    lines = [
        f"Login      {facts['email']}   {facts['password']}",
        f"API key    {facts['api_key']}",
        "           Shown only now; stored as hashes. `make demo` has the key in "
        f"{_short(data_dir)}/demo.json (mode 0600).",
    ]
    demo.shown()
    return lines


def _first_user(stack: Stack) -> list[str]:
    url = stack.url
    lines = [
        "Register the first user (it may always register; later ones by REGISTRATION):",
        f"  curl -X POST {url}/api/v1/auth/register -H 'Content-Type: application/json' \\",
        """    -d '{"email": "you@example.com", "password": "at least ten characters"}'""",
        "Then connect a platform: docs/platforms/. Anything odd? make doctor",
    ]
    if not stack.given.get("PUBLIC_URL"):
        lines.append("PUBLIC_URL is not set: only this machine can reach the service.")
    return lines


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
