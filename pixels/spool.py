"""One worker's spool: the facts that it keeps on its own disk while the database is away.

    <MUSTER_SPOOL_DIR>/<id of the spool>/lock            held as long as its worker lives
    <MUSTER_SPOOL_DIR>/<id of the spool>/00000001.facts  records (`pixels.records`), at most a few MiB
    <MUSTER_SPOOL_DIR>/damaged/…                         lines that could not be read, for a person to look at

Promise: when `append` returns, what it was given is on the disk. A file whose fsync has failed is closed and never
trusted again, because the kernel forgets the failure.
"""

import fcntl
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from audience.crash import crash_point
from audience.ids import uuid7
from pixels.facts import Fact
from pixels.records import line_of

FILE_BYTES = 4 << 20
DAMAGED = "damaged"
_PATTERN = "*.facts"


class SpoolFull(Exception):
    """The spool holds as much as it may."""


class _Sealed(NamedTuple):
    bytes: int
    began_at: float  # on the monotonic clock


class Spool:
    """A folder that one process writes. Its methods block; only one of them may run at a time."""

    def __init__(self, root: Path, *, most_bytes: int) -> None:
        """Make the folder and open its first file now: in the hour of need there may be no file descriptor left."""
        self._most_bytes = most_bytes
        name = str(uuid7())
        hidden = root / f".{name}"  # until it is locked, or another process would take it for a dead one's
        hidden.mkdir(parents=True, mode=0o700)
        self._lock = _locked(hidden)
        self.folder = hidden.rename(root / name)
        self._numbers = itertools.count(1)
        self._sealed: dict[Path, _Sealed] = {}  # oldest first
        self._file: int | None = None
        self._path = self.folder
        self._bytes = self._records = 0
        self._began_at = 0.0
        self._begin_file()
        _sync_folder(root)

    @property
    def held_bytes(self) -> int:
        return sum(sealed.bytes for sealed in self._sealed.values()) + self._bytes

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest facts; 0 where there are none."""
        if not self.held_bytes:
            return 0.0
        first = next(iter(self._sealed.values()), None)
        return time.monotonic() - (first.began_at if first else self._began_at)

    def append(self, facts: Sequence[Fact]) -> None:
        """Keep facts, in order, all of them or none. Raises `SpoolFull`, or OSError where the disk refuses."""
        if self._file is None or self._bytes >= FILE_BYTES:
            self._seal()
            self._begin_file()
        lines = b"".join([line_of(self._records + number, fact) for number, fact in enumerate(facts, 1)])
        if self.held_bytes + len(lines) > self._most_bytes:
            raise SpoolFull(f"The spool holds {self.held_bytes} of {self._most_bytes} bytes.")
        self._write(lines)
        if not self._bytes:
            self._began_at = time.monotonic()
        self._bytes += len(lines)
        self._records += len(facts)

    def oldest(self) -> Path | None:
        """Return the oldest file that holds facts; nothing is written to it any more. None where nothing is kept."""
        if not self._sealed and self._bytes:
            self._seal()
            with suppress(OSError):  # as in `__init__`; if not now, then with the next facts
                self._begin_file()
        return next(iter(self._sealed), None)

    def remove(self, path: Path) -> None:
        """Remove a file whose facts are in the database."""
        del self._sealed[path]
        path.unlink()

    def close(self) -> None:
        """Leave the folder: where it is empty it goes, otherwise another process takes it over."""
        self._seal()
        if not self._sealed:
            _remove_folder(self.folder)
        if self._lock is not None:
            os.close(self._lock)

    def _begin_file(self) -> None:
        path = self.folder / f"{next(self._numbers):08}.facts"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _sync_folder(self.folder)
        except OSError:
            os.close(file)
            path.unlink()
            raise
        self._file, self._path = file, path

    def _seal(self) -> None:
        """Write no more to the present file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if self._bytes:
                self._sealed[self._path] = _Sealed(self._bytes, self._began_at)
            else:
                self._path.unlink(missing_ok=True)
        self._bytes = self._records = 0

    def _write(self, lines: bytes) -> None:
        if self._file is None:
            raise OSError("The spool has no file.")
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            crash_point("spool.written")
            os.fdatasync(self._file)
        except OSError:
            # Back to the last whole record; if even that fails, what was written is only read after a kill.
            with suppress(OSError):
                os.ftruncate(self._file, self._bytes)
            self._seal()
            raise
        crash_point("spool.synced")


class LeftSpool:
    """The spool of a process that is dead, taken over."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def files(self) -> list[Path]:
        """Return its files, oldest first."""
        return sorted(self.folder.glob(_PATTERN))

    def remove(self, path: Path) -> None:
        path.unlink()

    def close(self) -> None:
        """Leave it, and remove it where it is empty."""
        if not self.files():
            _remove_folder(self.folder)
        os.close(self._lock)


def take_over(root: Path) -> Iterator[LeftSpool]:
    """Yield the spools whose processes are dead. Each is held by one process at a time; close it."""
    for folder in sorted(root.iterdir()) if root.exists() else []:
        if folder.name == DAMAGED or folder.name.startswith(".") or not folder.is_dir():
            continue
        lock = _locked(folder)
        if lock is not None:
            yield LeftSpool(folder, lock)


def bytes_on_disk(root: Path) -> int:
    """Return what all spools of this disk hold, also those that nobody has taken over yet."""
    total = 0
    for path in root.glob(f"*/{_PATTERN}"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def set_aside(root: Path, path: Path, lines: Sequence[bytes]) -> None:
    """Keep lines that cannot be read, for a person to look at."""
    folder = root / DAMAGED
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{path.parent.name}-{path.stem}.lines").write_bytes(b"\n".join(lines) + b"\n")


def _locked(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock, None where another process has it or the folder is gone."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove_folder(folder: Path) -> None:
    (folder / "lock").unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
