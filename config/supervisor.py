"""A group of programs that live and end together: started, watched, restarted, ended in order.

Promise: when the supervisor ends, however it ends, every program of the group ends too, down to the
processes that those programs started (see `leash`).
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from config.leash import SUPERVISED, leashed
from config.logs import wrapped

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # who ran for this long starts with a short pause again
LOG_BYTES = 10 * 1024 * 1024

Say = Callable[[str, str], None]  # (name of the program, line for people)


@dataclass
class Program:
    """One program of the group.

    `once` is one that may end (a demo, say). `drains` is one whose processes take their time after a SIGTERM, and
    none after a SIGINT (see `config.drain`).
    """

    name: str
    command: Sequence[str]
    patience_seconds: float = 20.0
    once: bool = False
    drains: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    start_again_at: float = field(default=0.0, init=False)
    pause_seconds: float = field(default=FIRST_PAUSE_SECONDS, init=False)

    def start(self, folder: Path, logs: Path, say: Say) -> None:
        """Start it on a leash, in a session of its own, with its output read line by line."""
        self.process = subprocess.Popen(
            leashed(self.command),
            cwd=folder,
            env={**os.environ, SUPERVISED: "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends all in order
        )
        self.started_at = time.monotonic()
        reader = threading.Thread(target=_read, args=(self.name, self.process, logs, say), daemon=True)
        reader.start()

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def plan_restart(self) -> float:
        """Set when to start it again; return the pause in seconds, twice the last one at most."""
        now = time.monotonic()
        if now - self.started_at > STEADY_SECONDS:
            self.pause_seconds = FIRST_PAUSE_SECONDS
        pause = self.pause_seconds
        self.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self.start_again_at = now + pause
        return pause

    def ask_to_end(self, *, is_urgent: bool = False) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        if is_urgent and self.drains:
            os.killpg(self.process.pid, signal.SIGINT)
        else:
            self.process.send_signal(signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Wait until it has ended, kill it after the deadline, and whatever it left behind."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self.sweep_up()
        self.process.wait()

    def sweep_up(self) -> None:
        """Kill what is left of its session: the children of a program that died."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class Group:
    """The programs in the order of their start; `endings` names them in the order of their end."""

    programs: list[Program]
    endings: Sequence[Sequence[str]]
    folder: Path
    logs: Path
    say: Say
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        for program in self.programs:
            program.start(self.folder, self.logs, self.say)

    def add(self, program: Program) -> None:
        """Start one more program with the group."""
        self.programs.append(program)
        program.start(self.folder, self.logs, self.say)

    def watch(self) -> None:
        """Start again what has ended and may not."""
        now = time.monotonic()
        for program in self.programs:
            if program.start_again_at:
                if now >= program.start_again_at:
                    program.start_again_at = 0.0
                    program.start(self.folder, self.logs, self.say)
            elif program.has_ended() and program.process:
                self._bury(program, program.process.returncode)

    def _bury(self, program: Program, code: int) -> None:
        program.sweep_up()
        if program.once:
            self.programs.remove(program)
            self.say(program.name, f"ended with code {code}")
            return
        pause = program.plan_restart()
        self.say(program.name, f"ended unasked with code {code}; starts again in {pause:.0f} s")

    def stop(self, *, is_urgent: bool = False) -> None:
        """End the programs in order, without a drain where it is urgent."""
        named = {program.name: program for program in self.programs}
        listed = [[named.pop(name) for name in names if name in named] for names in self.endings]
        for together in (list(named.values()), *listed):
            for program in together:
                program.ask_to_end(is_urgent=is_urgent)
            for program in together:
                program.end(time.monotonic() + program.patience_seconds)


def _read(name: str, process: subprocess.Popen[bytes], logs: Path, say: Say) -> None:
    """Write each line of the program's output to its log and, made readable, to the terminal."""
    assert process.stdout is not None  # noqa: S101 (it was opened as a pipe)
    handler = RotatingFileHandler(logs / f"{name}.log", maxBytes=LOG_BYTES, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    with process.stdout:
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if line:
                line = wrapped(name, line)
                handler.emit(logging.LogRecord(name, logging.INFO, "", 0, line, None, None))
                say(name, readable(line))
    handler.close()


def readable(line: str) -> str:
    """Return a line of the log as a person reads it; a line that is no JSON object stays as it is."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict) or "event" not in event:
        return line
    level = str(event.pop("level", "info"))
    text = str(event.pop("event"))
    trace = event.pop("exception", "")
    for needless in ("timestamp", "logger"):
        event.pop(needless, None)
    details = " ".join(f"{key}={value}" for key, value in event.items())
    mark = "" if level in ("info", "debug") else f"{level.upper()}: "
    return f"{mark}{text} {details}".rstrip() + (f"\n{trace}" if trace else "")


def to_terminal(name: str, line: str) -> None:
    """Print one line with the program's name before it; the lines of several threads do not mix."""
    text = "".join(f"{name:>9} | {part}\n" for part in line.splitlines())
    with contextlib.suppress(OSError):  # the terminal has gone; what is said stands in the logs
        sys.stdout.write(text)
        sys.stdout.flush()
