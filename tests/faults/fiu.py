"""System calls that fail on demand, by libfiu: in a running process, switched on and off from outside."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.running import until

FSYNC = ("posix/io/sync/fsync", "posix/io/sync/fdatasync")
NETWORK = "posix/io/net/*"
EIO = 5


class Fiu:
    """The failure points of the processes that are started behind `before`.

    `folder` takes the pipes by which each process is told: a process has its own, children too.
    """

    def __init__(self, folder: Path) -> None:
        for program in ("fiu-run", "fiu-ctrl"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed (apt-get install fiu-utils)")
        self._pipes = folder / "fiu"

    @property
    def before(self) -> list[str]:
        """What is put before the command line of the program."""
        return [shutil.which("fiu-run") or "", "-x", "-f", str(self._pipes)]

    def fail(self, pids: Iterable[int], *points: str, error: int = EIO, probability: float | None = None) -> None:
        """Let calls fail with an errno, all of them or with a probability."""
        verb = "enable" if probability is None else "enable_random"
        share = "" if probability is None else f",probability={probability}"
        self._tell(pids, [f"{verb} name={point},failinfo={error}{share}" for point in points])

    def heal(self, pids: Iterable[int], *points: str) -> None:
        """Let these calls work again."""
        self._tell(pids, [f"disable name={point}" for point in points])

    def _tell(self, pids: Iterable[int], commands: Iterable[str]) -> None:
        words = [word for command in commands for word in ("-c", command)]
        for pid in pids:
            pipe = Path(f"{self._pipes}-{pid}.in")
            until(pipe.exists, f"process {pid} listens to fiu-ctrl", timeout_seconds=10)
            told = [shutil.which("fiu-ctrl") or "", *words, "-f", str(self._pipes), str(pid)]
            done = subprocess.run(told, capture_output=True, text=True, timeout=20, check=True)
            assert not done.stdout, done.stdout
