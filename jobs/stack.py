"""`make run` and `make serve`: the whole service on one machine, from an empty folder, with one command.

Order: claim DATA_DIR, make secrets, read the settings, then Redis, sandbox and migrations side by side, then
web, workers and dispatcher; ready when the web server says so. `run` adds the sandbox, a login and a
connected channel; `serve` adds nothing and insists on safe settings.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from app import config
from app.embedded import (
    LOOPBACK,
    find_ffmpeg,
    find_redis_server,
    free_port,
    redis_answers,
    write_private,
    write_redis_config,
)
from jobs import environment, schema, seed, sessions, welcome
from jobs.environment import Refused
from jobs.supervisor import Program, StartFailed, Stopped, Supervisor

SANDBOX_PORT = 8090
READY_SECONDS = 60.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy


class Stack:
    """One start of everything, from the claim of DATA_DIR to the last process gone."""

    def __init__(self, mode: str) -> None:
        self.mode, self.began = mode, time.monotonic()
        self.given = environment.given_environment()
        self.data_dir = environment.make_data_dir(self.given)
        self.lock = environment.claim(self.data_dir)
        environment.keep_mode(self.data_dir, mode)
        self._end_leftovers()
        self.decided: dict[str, str] = {"APP_ENV": self._app_env()}
        self.supervisor = Supervisor(self.data_dir, say)
        self.sandbox_url = ""

    def _app_env(self) -> str:
        asked = self.given.get("APP_ENV")
        if self.mode == "run" and asked == "production":
            raise Refused("APP_ENV is production: `make serve` starts that; `make run` is for development.")
        return asked or {"run": "development", "serve": "production"}[self.mode]

    def _end_leftovers(self) -> None:
        """End what a killed stack may have left; holding the lock, nobody else's can be here."""
        left = sessions.marked(environment.MARK, str(self.data_dir))
        # A Redis hides its environment; it is known by its note and by working in its folder here.
        left += sessions.noted(self.data_dir / "run", working_in=self.data_dir)
        if left:
            say(f"Ending {len(left)} processes that an earlier start left behind.")
            sessions.kill(left)

    # -- the start, in order

    def start(self) -> None:
        """Start everything and return when it is ready. Raises Refused, StartFailed, Stopped."""
        made = environment.make_secrets(self.data_dir, self.given)
        if made and (self.data_dir / "scheduler.db").exists():
            say(f"There was a database but no {', '.join(made)}: made anew. Channels must be reconnected.")
        self._decide_addresses()
        self.settings = self._settings()
        shutil.rmtree(self.settings.metrics_dir, ignore_errors=True)
        self.settings.metrics_dir.mkdir(parents=True, mode=0o700)
        self._decide_ffmpeg()
        redis = self._start_redis()
        sandbox = self._start_sandbox() if self.mode == "run" else None
        self._migrate()
        if redis:
            self.supervisor.require(redis, lambda: redis_answers(self.redis_url, seconds=0), seconds=10)
        if sandbox:
            self.supervisor.require(sandbox, lambda: answers(self.sandbox_url), seconds=READY_SECONDS)
        self._start_ours()
        environment.describe(self.data_dir, mode=self.mode, url=self.url, sandbox_url=self.sandbox_url)
        write_private(self.data_dir / "run" / "stack.env", environment.as_env_file(self.decided))

    def _decide_addresses(self) -> None:
        bind = self.given.get("BIND") or "127.0.0.1:8000"
        host, _, asked = bind.rpartition(":")
        if not asked.isdigit():
            raise Refused(f"BIND must be HOST:PORT, found {bind!r}.")
        try:
            port = free_port(preferred=int(asked), host=host.strip("[]") or LOOPBACK)
        except OSError as error:
            raise Refused(f"BIND={bind} cannot be used: {error}.") from error
        taken = int(asked) not in (0, port)
        if taken and self.mode == "serve":
            raise Refused(f"Port {asked} is taken. Free it, or set BIND to another one.")
        if taken:
            say(f"Port {asked} is taken; using {port}.")
        shown = host if host not in ("", "0.0.0.0", "[::]") else LOOPBACK  # noqa: S104 - compared, not bound
        self.decided |= {"BIND": f"{host}:{port}"}
        self.url = f"http://{shown}:{port}"
        if not self.given.get("PUBLIC_URL"):
            self.decided["PUBLIC_URL"] = self.url

    def _settings(self) -> config.Settings:
        """Return the settings as the children will read them. Raises ConfigError with every fault."""
        made = environment.made_secrets(self.data_dir)
        return config.load({**made, **self.given, **self.decided, "DATA_DIR": str(self.data_dir)})

    def _decide_ffmpeg(self) -> None:
        ffmpeg = find_ffmpeg(self.settings.ffmpeg_path)
        if ffmpeg is None:
            raise Refused("There is no ffmpeg. Install it, or set FFMPEG_PATH to where it is.")
        self.decided["FFMPEG_PATH"] = ffmpeg

    def _start_redis(self) -> Program | None:
        self.redis_url = self.given.get("REDIS_URL", "")
        if self.redis_url:
            if not redis_answers(self.redis_url, seconds=3):
                where = urlsplit(self.redis_url)
                raise Refused(
                    f"REDIS_URL is set, but no Redis answers at {where.hostname}:{where.port or 6379}."
                )
            return None
        binary = find_redis_server()
        if binary is None:
            raise Refused("There is no Redis for this machine. Install redis-server, or set REDIS_URL.")
        port, password = free_port(), secrets.token_urlsafe(24)
        written = write_redis_config(self.data_dir / "redis", port=port, password=password)
        self.redis_url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        self.decided["REDIS_URL"] = self.redis_url
        foreign = environment.foreign_environment(self.data_dir, self.given)
        program = Program("redis", [str(binary), str(written)], foreign, is_base=True)
        # Redis only carries work: a file it cannot read (another version's, cut off) is not worth a failure.
        kept = self.data_dir / "redis" / "appendonlydir"
        program.heal = lambda: shutil.rmtree(kept, ignore_errors=True)
        return self.supervisor.start(program)

    def _start_sandbox(self) -> Program:
        port = free_port(preferred=self._sandbox_port())
        self.sandbox_url = f"http://{LOOPBACK}:{port}"
        self.decided["SANDBOX_URL"] = self.sandbox_url
        (self.data_dir / "sandbox.port").write_text(f"{port}\n")
        own = {"SANDBOX_STATE_DIR": str(self.data_dir / "sandbox"), "SANDBOX_MEASURE_MEDIA": "true"}
        env = self.environment() | own
        options = ["--worker-class", "gthread", "--threads", "32", "--bind", f"{LOOPBACK}:{port}"]
        options += ["--header-map", "dangerous"]  # Meta's upload header is called file_size
        command = [*python("gunicorn"), *options, "--timeout", "0", "--no-control-socket", "sandbox.wsgi:app"]
        return self.supervisor.start(Program("sandbox", command, env, is_base=True))

    def _sandbox_port(self) -> int:
        """Return the sandbox's last port: its old permalinks should go on working."""
        path = self.data_dir / "sandbox.port"
        return int(path.read_text()) if path.exists() else SANDBOX_PORT

    def _migrate(self) -> None:
        if schema.is_newest(self.settings.sqlalchemy_url):
            return
        migrate = Program("migrate", python("flask", "db", "upgrade"), self.environment())
        self.supervisor.finish(self.supervisor.begin(migrate), seconds=600)

    def _start_ours(self) -> None:
        if self.sandbox_url:
            self.decided |= seed.platform_settings(self.sandbox_url, self.given)
        env = self.environment()
        doctor = Program("doctor", python("flask", "doctor", "--before-start"), env)
        if self.mode == "serve":
            self.supervisor.begin(doctor)
        gunicorn = [*python("gunicorn"), "--config", "gunicorn.conf.py", "wsgi:app"]
        # Uploads under way and calls to platforms may end; a second Ctrl-C does not wait for them.
        web = self.supervisor.start(Program("web", gunicorn, env, stop_seconds=35))
        if self.mode == "serve":
            # Nothing is published before it is known that nothing published can be forgotten.
            self.supervisor.finish(doctor, seconds=60)
        # The dispatcher is forked from the same parent as the workers: on its own it would cost 75 MB more.
        workers = env | {"WORKERS": f"dispatcher=1,{self.settings.workers}"}
        self.supervisor.start(Program("workers", python("flask", "workers"), workers, stop_seconds=20))
        self.supervisor.require(web, lambda: answers(f"{self.url}/health/ready"), seconds=READY_SECONDS)

    def plant(self) -> seed.Seed:
        """Make the login, the key and the channels that are missing. Raises SeedFailed."""
        planted = seed.Seed(self.url, self.data_dir)
        planted.plant()
        return planted

    def environment(self) -> dict[str, str]:
        return environment.child_environment(self.data_dir, self.given, self.decided)

    # -- the end

    def stop(self) -> None:
        """End every process and take the notes away."""
        self.supervisor.stop()
        for name in ("stack.json", "stack.env"):
            (self.data_dir / "run" / name).unlink(missing_ok=True)
        self.supervisor.close()
        self.lock.close()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def answers(url: str) -> bool:
    """Return whether `url` answers 2xx within two seconds."""
    try:
        with _opener.open(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def say(line: str) -> None:
    """Print a line for people; a closed terminal or pipe is not a reason to stop."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        return


def main(arguments: list[str]) -> int:
    """Run until somebody asks to stop; return the exit code."""
    if "MAKELEVEL" in os.environ:
        sessions.end_with_parent()  # killing make must not leave its stack behind
    try:
        stack = Stack(arguments[0])
    except Refused as refusal:
        say(str(refusal))
        return 1
    try:
        stack.start()
        demo = stack.plant() if stack.mode == "run" else None
        welcome.show(stack, demo)
        stack.supervisor.keep()
    except Stopped:
        pass
    except (Refused, StartFailed, seed.SeedFailed, config.ConfigError) as trouble:
        say(str(trouble))
        return 1
    finally:
        say("Stopping ...")
        stack.stop()
        say("Stopped; nothing is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
