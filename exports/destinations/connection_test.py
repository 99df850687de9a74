"""Test connection: every step by itself, with its time, one sentence and what to do next. Sends no person's data."""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Literal

from exports.destinations.connection import STEPS, Connection, FolderSettings, NameTaken
from exports.destinations.opening import Settings, connect
from exports.reasons import DeliveryError

log = logging.getLogger(__name__)
Outcome = Literal["ok", "warning", "failed", "not_reached"]
TEST_BYTES = 1024
# These can only warn: an export works without them, a little less well.
ONLY_WARN = frozenset({"taken", "replace", "read", "remove", "space"})
# What is refused before a connection is begun belongs to the step that would have met it.
_FAILS_BEFORE_ANY = {"host_key_missing": "host_key", "key_unreadable": "login"}
_FOLDER_STEPS = tuple(STEPS)[tuple(STEPS).index("folder") :]


@dataclass(frozen=True)
class StepResult:
    """One line of the test. `sentence` is empty where all is well and nothing is to be said."""

    step: str
    label: str
    outcome: Outcome
    milliseconds: int
    sentence: str = ""


def steps_of(settings: Settings) -> tuple[str, ...]:
    """Return the steps that a test of these settings has, in order."""
    return _FOLDER_STEPS if isinstance(settings, FolderSettings) else tuple(STEPS)


def is_passed(results: Sequence[StepResult]) -> bool:
    """Say whether a test leaves nothing that would stop an export."""
    return all(result.outcome in ("ok", "warning") for result in results)


def run_test(settings: Settings) -> Iterator[StepResult]:
    """Yield each step as it ends; after a failed one the rest are `not_reached`."""
    queue: SimpleQueue[StepResult | None] = SimpleQueue()
    test = _Test(settings, queue.put)
    Thread(target=test.run, args=(queue,), daemon=True, name="connection test").start()
    done = set()
    while (result := queue.get()) is not None:
        done.add(result.step)
        yield result
    for step in steps_of(settings):
        if step not in done:
            yield StepResult(step, STEPS[step], "not_reached", 0)


class _Test:
    """One test under way. The steps up to the folder end inside `connect`, which tells where it is."""

    def __init__(self, settings: Settings, report: Callable[[StepResult], None]) -> None:
        self._settings, self._report = settings, report
        self._step, self._began = "", 0.0
        mark = os.urandom(4).hex()
        self._names = [f"muster-test-{mark}-{number}.tmp" for number in (1, 2)]

    def run(self, queue: "SimpleQueue[StepResult | None]") -> None:
        try:
            connection = connect(self._settings, self._begin)
            self._end("ok")
            with connection:
                self._try_out(connection)
        except DeliveryError as error:
            if not self._step:
                self._begin(_FAILS_BEFORE_ANY.get(error.reason.code, steps_of(self._settings)[0]))
            self._end("failed", str(error))
        except Exception:
            log.exception("A connection test broke off")
            self._end("failed", "This step could not be done. Tell your administrator; the log has the details.")
        finally:
            queue.put(None)

    def _try_out(self, connection: Connection) -> None:
        first, second = self._names
        content = os.urandom(TEST_BYTES)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "test"
            local.write_bytes(content)
            try:
                self._do("write", lambda: _exhaust(connection.upload(local, first)))
                self._do("size", lambda: _compare_size(connection, first))
                self._do("rename", lambda: connection.publish(first, second))
                self._do("taken", lambda: _look_whether_protected(connection, local, first, second))
                self._do("replace", lambda: _replace(connection, local, first, second))
                self._do("read", lambda: _compare_content(connection, second, content))
            finally:
                self._do("remove", lambda: self._remove(connection))
        self._do("space", lambda: _tell_space(connection))

    def _do(self, step: str, action: Callable[[], str | None]) -> None:
        """Do one step; a failure of those that only warn does not end the test."""
        self._begin(step)
        try:
            remark = action()
        except DeliveryError as error:
            if step not in ONLY_WARN:
                self._end("failed", str(error))
                raise
            self._end("warning", _REMARKS.get(step, str(error)))
        else:
            self._end("warning" if remark and step in _REMARKS else "ok", remark or "")

    def _begin(self, step: str) -> None:
        """Note that a step begins; the one before has ended well."""
        if self._step:
            self._end("ok")
        self._step, self._began = step, time.monotonic()

    def _end(self, outcome: Outcome, sentence: str = "") -> None:
        if not self._step:
            return
        milliseconds = round((time.monotonic() - self._began) * 1000)
        self._report(StepResult(self._step, STEPS[self._step], outcome, milliseconds, sentence))
        self._step = ""

    def _remove(self, connection: Connection) -> str | None:
        left = []
        for name in self._names:
            try:
                connection.remove(name)
            except DeliveryError:
                left.append(name)
        return f"These test files could not be removed: {', '.join(left)}. Please remove them." if left else None


_REMARKS = {
    "taken": "The server lets a rename overwrite a file. Muster looks before it renames.",
    "replace": "A file cannot be replaced in one step: when Muster replaces an own file, it is gone for a moment.",
    "read": "Files cannot be read back, so a broken upload begins anew instead of going on.",
    "remove": "Test files could not be removed.",
}


def _exhaust(upload: Iterator[int]) -> None:
    for _ in upload:
        pass


def _compare_size(connection: Connection, name: str) -> None:
    if connection.size(name) != TEST_BYTES:
        raise DeliveryError("short_file", name=name)


def _look_whether_protected(connection: Connection, local: Path, first: str, second: str) -> str | None:
    """Rename over a taken name, which must not work."""
    _exhaust(connection.upload(local, first))
    with suppress(NameTaken):
        connection.publish(first, second)
        return _REMARKS["taken"]
    return None


def _replace(connection: Connection, local: Path, first: str, second: str) -> None:
    _exhaust(connection.upload(local, first))
    connection.replace_in_one_step(first, second)


def _compare_content(connection: Connection, name: str, content: bytes) -> str | None:
    digest = hashlib.sha256()
    for block in connection.read(name):
        digest.update(block)
    return None if digest.digest() == hashlib.sha256(content).digest() else "What was read is not what was written."


def _tell_space(connection: Connection) -> str | None:
    free = connection.free_bytes()
    return "The server does not tell its free space." if free is None else f"{free / 1_000_000_000:,.1f} GB are free."
