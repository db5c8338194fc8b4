"""Keeps a set of programs running: starts them, waits until they are ready, restarts what dies, ends all.

A program is a process with a log file. It is restarted with a growing pause; one that keeps crashing is
shown with its last lines. However the supervisor ends, also by SIGKILL, nothing of it stays (jobs/sessions).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs import sessions

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a restart
SETTLED_AFTER = 30.0  # seconds; a program that lived so long starts with a clean record
CRASHES_TOLD = 3  # crashes in a row after which the log's end is shown
LOG_LIMIT = 50 * 1024**2  # bytes; then the log is set aside once as .1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818 - somebody asked for it
    """A signal asked the supervisor to stop while it was waiting."""


class StartFailed(Exception):  # noqa: N818 - reads as what happened
    """A program did not come up; the message says which, with the end of its log."""


@dataclass
class Program:
    """One process to keep running.

    `is_base`: others need it, so it ends after them. `stop_seconds`: how long it may take to end when asked.
    `heal` is called before it is restarted a second time in a row: what it keeps may be what kills it.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    is_base: bool = False
    stop_seconds: float = 10.0
    heal: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0
    restart_at: float | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Programs in starting order; the base ends last. `say` prints one line for people."""

    data_dir: Path
    say: Callable[[str], None]
    programs: list[Program] = field(default_factory=list)
    passing: list[Program] = field(default_factory=list)  # end by themselves
    stop_requests: int = 0

    def __post_init__(self) -> None:
        self.logs, self.run = self.data_dir / "logs", self.data_dir / "run"
        for folder in (self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        self._guard = sessions.start_guard()
        self._waking, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._waking, False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stop_requests += 1

    # -- starting

    def start(self, program: Program) -> Program:
        """Start a program and keep it from now on."""
        self.programs.append(program)
        self._spawn(program)
        return program

    def _spawn(self, program: Program) -> None:
        log = self.log_of(program.name)
        _set_aside(log)
        with log.open("ab") as output:
            program.process = subprocess.Popen(  # noqa: S603 - our own commands
                program.command,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        program.started_at, program.restart_at = time.monotonic(), None
        os.write(self._guard, f"{program.process.pid}\n".encode())
        self.run.joinpath(f"{program.name}.pid").write_text(f"{program.process.pid}\n")

    def begin(self, program: Program) -> Program:
        """Start a program that ends by itself; `finish` must follow."""
        self.passing.append(program)
        self._spawn(program)
        return program

    def finish(self, program: Program, *, seconds: float) -> None:
        """Wait for its end. Raises StartFailed when it fails or takes too long, Stopped."""
        assert program.process is not None
        try:
            self.wait_until(lambda: not program.is_running, seconds=seconds)
            if program.process.poll() != 0:
                raise StartFailed(
                    self._report(program, "failed" if program.process.poll() else "took too long")
                )
        finally:
            self._end([program])
            self.passing.remove(program)

    def wait_until(self, is_true: Callable[[], bool], *, seconds: float) -> bool:
        """Wait for something, looking after the programs meanwhile; False when the time is up.

        Raises Stopped when somebody asks to stop and StartFailed when a program keeps crashing.
        """
        deadline = time.monotonic() + seconds
        while not is_true():
            if time.monotonic() >= deadline:
                return False
            self._look_after(pause=0.03)
            crashing = next((each for each in self.programs if each.crashes >= CRASHES_TOLD), None)
            if crashing:
                raise StartFailed(f"{crashing.name} does not start; its log is {self.log_of(crashing.name)}.")
        return True

    def require(self, program: Program, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until a program is ready. Raises StartFailed with the end of its log, Stopped."""
        if not self.wait_until(is_ready, seconds=seconds):
            raise StartFailed(self._report(program, f"is not ready after {seconds:.0f} seconds"))

    # -- keeping

    def keep(self) -> None:
        """Look after the programs until somebody asks to stop."""
        looked_at_logs = time.monotonic()
        while not self.stop_requests:
            try:
                self._look_after(pause=self._next_look())
            except Stopped:
                return
            if time.monotonic() - looked_at_logs > 60:
                looked_at_logs = time.monotonic()
                for program in self.programs:
                    _set_aside(self.log_of(program.name))

    def _next_look(self) -> float:
        waiting = [
            each.restart_at - time.monotonic() for each in self.programs if each.restart_at is not None
        ]
        return max(0.01, min([*waiting, 30.0]))

    def _look_after(self, *, pause: float) -> None:
        """Sleep at most `pause` seconds, woken by signals, then restart what is due. Raises Stopped."""
        if not self.stop_requests and select.select([self._waking], [], [], pause)[0]:
            os.read(self._waking, 512)
        if self.stop_requests:
            raise Stopped
        for program in self.programs:
            if program.restart_at is None and not program.is_running:
                self._note_death(program)
            elif program.restart_at is not None and program.restart_at <= time.monotonic():
                if program.heal and program.crashes > 1:
                    program.heal()
                self._spawn(program)

    def _note_death(self, program: Program) -> None:
        assert program.process is not None
        sessions.end_session(program.process.pid)  # what it forked must not work on without it
        lived = time.monotonic() - program.started_at
        program.crashes = 1 if lived > SETTLED_AFTER else program.crashes + 1
        pause = min(FIRST_PAUSE * 2 ** (program.crashes - 1), LONGEST_PAUSE)
        program.restart_at = time.monotonic() + pause
        ending = _ending(program.process.returncode)
        self.say(f"{program.name} ended ({ending}); it starts again in {pause:g} s.")
        if program.crashes >= CRASHES_TOLD:
            self.say(self._report(program, f"has ended {program.crashes} times in a row"))

    # -- ending

    def stop(self) -> None:
        """End every program, the base last; a second request to stop makes it short."""
        self.stop_requests = min(self.stop_requests, 1)
        everything = [*self.passing, *self.programs]
        for is_base in (False, True):
            self._end([program for program in everything if program.is_base == is_base])
        self.programs.clear()

    def _end(self, programs: list[Program]) -> None:
        """Ask programs to end and make sure that nothing of them is left."""
        for program in programs:
            if program.is_running and program.process is not None:
                sessions.end([program.process.pid], by=signal.SIGTERM)
        deadline = time.monotonic() + max((each.stop_seconds for each in programs), default=0)
        while any(each.is_running for each in programs):
            if time.monotonic() > deadline or self.stop_requests > 1:
                break
            time.sleep(0.02)
        for program in programs:
            if program.process is not None:
                sessions.end_session(program.process.pid)
                program.process.wait()
            self.run.joinpath(f"{program.name}.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Let the guard go. The supervisor cannot be used after this."""
        signal.set_wakeup_fd(-1)
        os.close(self._guard)
        try:
            os.wait()
        except ChildProcessError:
            return

    # -- telling

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _report(self, program: Program, what: str) -> str:
        log = self.log_of(program.name)
        return f"{program.name} {what}. The last lines of {log}:\n{last_lines(log, count=15)}"


def last_lines(path: Path, *, count: int) -> str:
    """Return the end of a text file, indented; it may be of any size or missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines or ["(nothing)"])


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _set_aside(log: Path) -> None:
    """Keep a log below LOG_LIMIT. The programs append, so emptying the file under them is safe."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
