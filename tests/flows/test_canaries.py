"""Secrets are planted everywhere, posts go through everything, and then the secrets are looked for everywhere.

One run on real processes: a login, a key, a consent, a refresh, uploads, posts that go out, are cut off and
are refused in words that hold secrets. No secret may stand in a log, in Redis, in the database in clear, in
the metrics, or in an answer that does not hand it out on purpose.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import requests
from sqlalchemy import select, update

from app import clock
from app.embedded import free_port
from app.extensions import db, key_ring
from app.models import Credential, Target
from app.services.credentials import reveal
from tests.clips import make_clip
from tests.database import migrate
from tests.rig import ROOT, Rig
from tests.sandbox_server import SandboxProcess

PASSWORD = "canary-password-8412"
EMAIL = "canary.address.8412@example.com"
CALLBACK = "/api/v1/connections/callback"


@dataclass
class Flight:
    """The running product, a browser, and every secret and every answer seen so far."""

    rig: Rig
    url: str
    http: requests.Session = field(default_factory=requests.Session)
    headers: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, *, keep: bool = True, **options: Any) -> Any:
        """Ask; `keep` False: the answer hands out a secret on purpose."""
        headers = self.headers | options.pop("headers", {})
        answer = self.http.request(
            method, f"{self.url}{path}", headers=headers, timeout=30, allow_redirects=False, **options
        )
        if keep:
            self.answers.append(f"{answer.headers} {answer.text}")
        return answer

    def tokens(self) -> dict[str, str]:
        """Return the platform's tokens as they are now, and the upload addresses' tokens."""
        found = {}
        with self.rig.app.app_context():
            for row in db.session.scalars(select(Credential)):
                for name in ("access_token", "refresh_token"):
                    sealed = getattr(row, f"{name}_encrypted")
                    found[f"{name} of {row.id} {sealed[-6:]}"] = reveal(row.id, name, sealed)
            for target in db.session.scalars(select(Target).where(Target.handle_encrypted.is_not(None))):
                handle = key_ring().decrypt(
                    str(target.handle_encrypted), context=f"targets:handle:{target.id}"
                )
                for number, token in enumerate(re.findall(r"[?&]\w*token=([^\"&\\]+)", handle)):
                    found[f"upload {number} of {target.id}"] = token
            db.session.rollback()
        return found


@pytest.fixture(scope="module")
def flight(
    tmp_path_factory: pytest.TempPathFactory, redis_server_url: str, sandbox_process: SandboxProcess
) -> Iterator[Flight]:
    folder = tmp_path_factory.mktemp("canaries")
    url = f"sqlite:///{folder / 'scheduler.db'}"
    migrate(url, data_dir=folder)
    sandbox_process.sim.reset(keep=("settings",))
    bind = f"127.0.0.1:{free_port()}"
    extra = {
        "WORKERS": "dispatcher=1,media=1,stage=1,commit=1,default=1", "REGISTRATION": "open", "LOG_LEVEL": "DEBUG",
        "BIND": bind, "PUBLIC_URL": f"http://{bind}",
    }  # fmt: skip
    with Rig(folder / "data", url, redis_server_url, sandbox_process, extra=extra) as rig:
        rig.flush_redis()
        rig.start("workers")
        with web(rig):
            yield Flight(rig, f"http://{bind}")


@contextlib.contextmanager
def web(rig: Rig) -> Iterator[None]:
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
    with (rig.folder / "web.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | rig.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        rig.wait_until(lambda: answers(f"http://{rig.environment['BIND']}/health/live"))
        yield
    finally:
        process.terminate()
        process.wait(40)


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=2).ok
    return False


# -- the run


def log_in(flight: Flight) -> None:
    made = flight.send(
        "POST", "/api/v1/auth/register", json={"email": EMAIL, "password": PASSWORD}, keep=False
    )
    flight.send("POST", "/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD + "x"})
    flight.send("POST", "/api/v1/auth/login", json={"email": PASSWORD, "password": PASSWORD})
    flight.send("POST", "/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD, "more": 1})
    flight.send(
        "POST",
        "/api/v1/auth/login",
        data=f'{{"password": "{PASSWORD}"',
        headers={"Content-Type": "application/json"},
    )
    login = flight.send(
        "POST", "/api/v1/auth/refresh", json={"refresh_token": made.json()["refresh_token"]}, keep=False
    )
    flight.headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    key = flight.send("POST", "/api/v1/api-keys", json={"name": "ci", "scopes": ["read"]}, keep=False).json()[
        "key"
    ]
    flight.send("GET", f"/api/v1/posts?api_key={key}&cursor={key}", headers={"X-API-Key": key})
    flight.send("GET", f"/api/v1/{key}", keep=False)  # repeats the address it was asked for
    flight.send("GET", "/api/v1/auth/me", headers={"Authorization": f"Bearer {key}x"})
    flight.send("GET", "/api/v1/auth/me", headers={"Authorization": f"Token {key}"})
    flight.secrets |= {
        "password": PASSWORD, "address": EMAIL, "key": key.split("_", 2)[2],
        "access": login.json()["access_token"], "refresh": login.json()["refresh_token"],
        "old refresh": made.json()["refresh_token"],
    }  # fmt: skip


def connect(flight: Flight) -> str:
    begun = flight.send("POST", "/api/v1/connections", json={"platform": "tiktok"}, keep=False)
    consent = requests.get(f"{begun.json()['authorize_url']}&auto=approve", allow_redirects=False, timeout=10)
    back = urlsplit(consent.headers["Location"])
    given = {name: values[0] for name, values in parse_qs(back.query).items()}
    flight.secrets |= {"state": given["state"], "code": given["code"]}
    flight.secrets |= {f"nonce {cookie.name}": str(cookie.value) for cookie in flight.http.cookies}
    assert flight.send("GET", f"{CALLBACK}?{back.query}").status_code == 200
    flight.send("GET", f"{CALLBACK}?{back.query}")
    done = flight.send("POST", f"/api/v1/connections/{begun.json()['id']}/complete", json={})
    return str(done.json()["channels"][0]["id"])


def refresh(flight: Flight) -> None:
    """Have the grants renewed: old and new tokens are both looked for."""
    before = flight.tokens()
    flight.secrets |= before
    flight.rig.sandbox.sim.fault(
        "tiktok.token",
        "status",
        status=500,
        body={"error": "x", "error_description": next(iter(before.values()))},
    )
    with flight.rig.app.app_context():
        now = clock.now()
        half_over = {"refreshed_at": now - timedelta(hours=1), "expires_at": now + timedelta(minutes=1)}
        db.session.execute(update(Credential).values(next_at=now, **half_over))
        db.session.commit()
    flight.rig.wait_until(
        lambda: not before.keys() & flight.tokens().keys(), seconds=60, what=lambda: "no refresh"
    )


def publish(flight: Flight, channel_id: str, folder: Path) -> None:
    """One plain post, one cut off, one refused with a token in the platform's words, one with an upload."""
    said = flight.tokens()
    flight.secrets |= said
    token = next(iter(said.values()))
    leaky = {"error": {"code": f"spam {token}", "message": token, "log_id": token}, "data": {"x": token}}
    for number, faults in enumerate(
        (
            (),
            (("tiktok.last_chunk", "drop_after", {}),),
            (("tiktok.init", "status", {"status": 400, "body": leaky}),),
        )
    ):
        for operation, action, details in faults:
            flight.rig.sandbox.sim.fault(operation, action, **details)
        clip = make_clip(folder / f"{number}.mp4", size="720x1280", rate=str(30 - number), seconds=4)
        video = flight.send(
            "POST",
            "/api/v1/videos",
            data=clip.read_bytes(),
            headers={"Content-Type": "video/mp4"},
            keep=False,
        )
        link = video.json()["file_url"]
        flight.secrets[f"link {number}"] = link.split("/")[4]
        flight.send("GET", urlsplit(link).path, headers={"Range": "bytes=0-0"})
        flight.send("GET", urlsplit(link).path.replace(".", ".x", 1))
        body = {
            "video_id": video.json()["id"], "caption": f"canary {number}", "publish_now": True,
            "options": {"tiktok": {"privacy_level": "SELF_ONLY"}}, "targets": [{"channel_id": channel_id}],
        }  # fmt: skip
        post = flight.send(
            "POST", "/api/v1/posts", json=body, headers={"Idempotency-Key": f"k{number}"}
        ).json()
        _wait(flight, post["id"])


def _wait(flight: Flight, post_id: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        flight.secrets |= flight.tokens()
        post = flight.send("GET", f"/api/v1/posts/{post_id}").json()
        if post["status"] in {"published", "failed", "missed", "action_required"}:
            break
        assert time.monotonic() < deadline, f"{post}\n{flight.rig.logs()}"
        time.sleep(0.05)
    flight.send("GET", f"/api/v1/posts/{post_id}/timeline")
    flight.send("GET", f"/api/v1/targets/{post['targets'][0]['id']}/attempts")


class Tap:
    """Copies all of Redis, job bodies unpacked, and all commands again and again, while something runs."""

    def __init__(self, url: str) -> None:
        self.seen: set[bytes] = set()
        self.commands: set[bytes] = set()  # with their arguments, as anybody on the machine may list them
        self._redis: Any = redis.Redis.from_url(url)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._redis.close()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.commands |= set(_commands())
            for key in self._redis.scan_iter(count=500):
                self.seen |= {key, *map(_unpacked, self._values(key))}

    def _values(self, key: bytes) -> list[bytes]:
        kind = self._redis.type(key)
        if kind == b"hash":
            return [part for pair in self._redis.hgetall(key).items() for part in pair]
        if kind == b"list":
            return list(self._redis.lrange(key, 0, -1))
        return [self._redis.get(key) or b""] if kind == b"string" else []


def _commands() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            yield path.read_bytes()


def _unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


# -- the search


def test_no_secret_is_left_anywhere(flight: Flight, tmp_path: Path) -> None:
    with Tap(flight.rig.redis_url) as tap:
        log_in(flight)
        channel_id = connect(flight)
        refresh(flight)
        publish(flight, channel_id, tmp_path)
        for path in (
            "/metrics",
            "/health/detailed",
            "/api/v1/events",
            "/api/v1/channels",
            "/api/v1/api-keys",
            "/",
        ):
            flight.send("GET", path)

    secrets = flight.secrets | _configured(flight.rig)
    places = _places(flight, tap)

    assert len(secrets) > 15 and any(name.startswith("upload") for name in secrets), sorted(secrets)
    assert len(tap.seen) > 20 and b"stage_target" in b" ".join(tap.seen)
    assert b"gunicorn" in b" ".join(tap.commands)
    found = [
        (name, place) for name, value in secrets.items() for place, text in places.items() if value in text
    ]
    handed_out = {("address", "database"), ("address", "answers"), ("TIKTOK_CLIENT_KEY", "database")}
    assert ("address", "database") in found  # what is to be found is found
    assert [entry for entry in found if entry not in handed_out] == []


def _configured(rig: Rig) -> dict[str, str]:
    names = ("SECRET_KEY", "JWT_SECRET_KEY", "TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET")
    key = rig.environment["ENCRYPTION_KEYS"].partition(":")[2]
    return {name: rig.environment[name] for name in names} | {"encryption key": key}


def _places(flight: Flight, tap: Tap) -> dict[str, str]:
    folder = flight.rig.folder
    logs = {path.name: path.read_text(errors="replace") for path in folder.glob("*.log")}
    stored = (path.read_bytes() for path in folder.parent.glob("scheduler.db*"))
    return logs | {
        "redis": b"\n".join(tap.seen).decode(errors="replace"),
        "commands": b"\n".join(tap.commands).decode(errors="replace"),
        "database": b"\n".join(stored).decode(errors="replace"),
        "answers": "\n".join(flight.answers),
    }
