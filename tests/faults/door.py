"""The door as an operator runs it, with its workers in reach of a test's faults."""

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from django.conf import settings

from config.leash import SUPERVISED, leashed
from config.listeners import door_listener
from tests.pixels.doors import ListenerDoor, free_port
from tests.running import ROOT, alive, descendants, until

NO_LIMITS = {"MUSTER_FIRES_PER_BROWSER": "0", "MUSTER_FIRES_PER_ADDRESS": "0"}
SETTLE_SECONDS = 60.0


class RealDoor(ListenerDoor):
    """The door's listener, started as `manage.py up` starts it and started again when it ends unasked.

    `folder` is its data folder: spools lie there, so no two installations may share one. `before` is put before the
    command line: `fiu-run …`, `prlimit --nofile=256`.
    """

    def __init__(
        self, database_url: str, folder: Path, *, workers: int = 1, before: Sequence[str] = (), **environment: str
    ) -> None:
        self.port = free_port()
        self._before = before
        drain_seconds = int(environment.get("MUSTER_DRAIN_SECONDS", settings.MUSTER_DRAIN_SECONDS))
        bind = f"127.0.0.1:{self.port}"
        self._command = door_listener(bind, workers=workers, drain_seconds=drain_seconds)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": database_url,
            "MUSTER_DATA_DIR": str(folder),
            # Keys of this process, so that a test can sign cookies and times.
            "MUSTER_COOKIE_KEYS": ",".join(":".join(key) for key in settings.MUSTER_COOKIE_KEYS),
            "MUSTER_REPLAY_KEY": settings.MUSTER_REPLAY_KEY,
            "MUSTER_DEV_HTTP_COOKIE": "off",
            SUPERVISED: "1",  # the workers end with their master, however it ends
            **NO_LIMITS,
            **environment,
        }
        self.process: subprocess.Popen[bytes]

    def launch(self) -> None:
        """Start it, and do not wait."""
        command = leashed([*self._before, *self._command])
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL)

    def start(self, *, is_ready: bool = True) -> Self:
        """Start it and return when it is ready; with `is_ready=False` when it is alive."""
        self.launch()
        try:
            self.await_answer("/health/ready" if is_ready else "/health/live")
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def await_answer(self, path: str, *statuses: int, timeout_seconds: float = SETTLE_SECONDS) -> None:
        """Return when `path` answers 200, or one of `statuses`. It is started again where it has ended."""
        wanted = statuses or (200,)

        def answers() -> bool:
            self.look()
            return self.status(path) in wanted

        until(answers, f"{path} answers {wanted}", timeout_seconds=timeout_seconds)

    def look(self) -> None:
        """Start it again where it has ended unasked, as `manage.py up` does."""
        if self.process.poll() is not None:
            self.launch()

    def settle(self, *, timeout_seconds: float = SETTLE_SECONDS) -> None:
        """Return when it is ready and all that it has spooled is in the database."""
        self.await_answer("/health/ready", timeout_seconds=timeout_seconds)
        self.await_answer("/health/sink", 200, 404, timeout_seconds=timeout_seconds)

    def status(self, path: str) -> int | None:
        """Return the status of a path, None while nobody answers."""
        try:
            return self.get(path).status
        except OSError:
            return None

    def workers(self) -> list[int]:
        """Return the process ids of its workers: gunicorn's children."""
        family = {self.process.pid, *descendants(self.process.pid)}
        master = f"{sys.executable} -m gunicorn "
        return [pid for pid in family if alive(pid) and _command_of(_parent_of(pid)).startswith(master)]

    def kill_worker(self) -> int:
        """Kill one worker, whichever, as the kernel does when memory is short; return which one it was."""
        pid = random.choice(until(self.workers, "the door has a worker", timeout_seconds=20))
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill(self) -> None:
        """Kill all of it."""
        for pid in (self.process.pid, *self.workers()):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def limit(self, what: int, most: int) -> None:
        """Set a limit of the running workers (`resource.RLIMIT_…`), or lift it with RLIM_INFINITY."""
        for pid in self.workers():
            _, hard = resource.prlimit(pid, what)
            resource.prlimit(pid, what, (most, hard))


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
