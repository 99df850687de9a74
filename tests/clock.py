"""A clock that can be set for whole programs, PostgreSQL among them: libfaketime in front of each."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from config import postgres
from config.postgres import EmbeddedServer

# libfaketime 0.9.10 spoils the sleep of Python 3.11 where it shall leave the monotonic clock alone
# (wolfcw/libfaketime#426); waiting for nothing is as long.
SLEEP = """
import select
import time


def sleep(seconds):
    select.select([], [], [], seconds)


time.sleep = sleep
"""
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Clock:
    """The wall clock of the programs that have its `environment`; what waits or measures goes on by the real one."""

    def __init__(self, folder: Path) -> None:
        if not LIBRARIES:
            pytest.skip("libfaketime is not installed (apt-get install faketime)")
        self._file = folder / "clock"
        (folder / "sitecustomize.py").write_text(SLEEP)
        self.environment = {
            "PYTHONPATH": str(folder),
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }
        self.flow_from(datetime.now(UTC))
        self._file.chmod(0o644)  # PostgreSQL's user reads it

    def stop_at(self, at: datetime) -> None:
        """Show this second, and go no further. PostgreSQL cannot sleep meanwhile."""
        self._write(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}")

    def flow_from(self, at: datetime) -> None:
        """Show this instant, and go on."""
        self._write(f"{(at - datetime.now(UTC)).total_seconds():+.3f}")

    def _write(self, text: str) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(text + "\n")
        draft.chmod(0o644)
        draft.replace(self._file)


@contextmanager
def server_by(clock: Clock, folder: Path) -> Iterator[EmbeddedServer]:
    """Start a PostgreSQL of the test's own that goes by the clock."""
    known = set(Path("/dev/shm").glob("*faketime*"))
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else postgres.wheel_programs()
    fronts = folder / "programs"
    fronts.mkdir()
    # A front of its own: the library makes shared memory, as the user who runs PostgreSQL.
    exports = "".join(f"export {name}='{value}'\n" for name, value in clock.environment.items())
    for name, before in (("initdb", ""), ("postgres", exports)):
        front = fronts / name
        front.write_text(f"#!/bin/sh\n{before}exec '{programs / name}' \"$@\"\n")
        front.chmod(front.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    try:
        with EmbeddedServer(folder, options={"shared_buffers": "32MB"}, programs=fronts) as server:
            yield server
    finally:
        for left in set(Path("/dev/shm").glob("*faketime*")) - known:
            left.unlink(missing_ok=True)
