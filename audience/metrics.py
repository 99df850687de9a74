"""What the processes of an installation count for its operator: the counters, and how the rooms add to them.

Plain Python, so that the door pays nothing for it. Nothing here names an advertiser or a person. Callers add up what
a batch brought and say it once: each call costs a few microseconds, not each fire.

Several processes count at once. Where `PROMETHEUS_MULTIPROC_DIR` is set (`manage.py up` sets it), each keeps its
numbers in files of its own there, and `config.metrics` adds them up when it is asked.
"""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_FILE_BYTES = 1 << 16


def _reserve(path: Path, size: int = _FILE_BYTES) -> None:
    """Give a file its blocks now: writing through a map into a hole kills the process where the disk is full."""
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _is_usable(folder: Path) -> bool:
    probe = folder / f".probe-{os.getpid()}"
    try:
        _reserve(probe)
        probe.unlink()
    except OSError:
        return False
    return True


# A process that cannot share its numbers keeps them to itself: nobody is refused for want of a counter. The library
# decides when it is imported.
if (_folder := os.environ.get(FOLDER_VARIABLE)) and not _is_usable(Path(_folder)):
    del os.environ[FOLDER_VARIABLE]

from prometheus_client import Counter, Gauge, Histogram  # noqa: E402 -- after the look at the folder

_FIRES = Counter("muster_fires", "Fires by how they ended, once they are stored", ["outcome", "reason"])
_MESSAGES = Counter("muster_messages", "Messages of the HTTP API by how they ended", ["outcome", "error"])
_REFUSED = Counter("muster_fires_refused", "Fires that were answered 503 and are stored nowhere", ["reason"])
_ANSWERS = Counter("muster_door_answers", "Answers of the door by their HTTP status", ["status"])
_QUEUE = Gauge("muster_door_queue_fires", "Fires that wait for the next batch", multiprocess_mode="livesum")
_BATCH_FIRES = Histogram("muster_batch_fires", "Facts in a batch", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
_COMMIT_SECONDS = Histogram(
    "muster_commit_seconds",
    "Time from the start of a batch to its commit",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
_SPOOL_BYTES = Gauge("muster_spool_bytes", "Bytes that wait in spools", multiprocess_mode="livesum")
_SPOOL_SECONDS = Gauge(
    "muster_spool_oldest_seconds", "Age of the oldest record in a spool", multiprocess_mode="livemax"
)
_SPOOL_RECORDS = Counter("muster_spool_records", "Records of spools by what became of them", ["what"])
_SHARED = Counter("muster_shared_identifiers", "Messages with an identifier that crowds share: a profile is full")
_RUNS = Counter("muster_export_runs", "Runs that ended, by how and why", ["state", "reason"])
_RUN_ROWS = Counter("muster_export_rows", "Rows written by runs that were delivered")
_RUN_BYTES = Counter("muster_export_bytes", "Bytes sent by runs that were delivered")
_RUN_SECONDS = Histogram(
    "muster_export_seconds",
    "Time from the start of a run to its delivery",
    buckets=(1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600),
)
_TASK_SECONDS = Histogram(
    "muster_task_seconds",
    "Duration of background tasks",
    ["task", "result"],
    buckets=(0.01, 0.05, 0.2, 1, 5, 20, 60, 300, 1800),
)

if FOLDER_VARIABLE in os.environ:
    for _file in Path(os.environ[FOLDER_VARIABLE]).glob(f"*_{os.getpid()}.db"):
        _reserve(_file)


def count_batch(outcomes: Mapping[tuple[str, str], int], *, facts: int, commit_seconds: float) -> None:
    """Count one committed batch: fires by (outcome, reason or ""), all its facts, and how long it took."""
    for (outcome, reason), fires in outcomes.items():
        _FIRES.labels(outcome, reason).inc(fires)
    _BATCH_FIRES.observe(facts)
    _COMMIT_SECONDS.observe(commit_seconds)


def count_messages(outcomes: Mapping[tuple[str, str], int]) -> None:
    """Count messages of the HTTP API by (outcome, error or "")."""
    for (outcome, error), messages in outcomes.items():
        _MESSAGES.labels(outcome, error).inc(messages)


def count_refused(reason: str, fires: int = 1) -> None:
    """Count fires that were answered 503: `spool_full`, `not_ready` and the like."""
    _REFUSED.labels(reason).inc(fires)


def count_answers(statuses: Mapping[int, int]) -> None:
    """Count answers of the door by status, as many as there were since the last call."""
    for status, answers in statuses.items():
        _ANSWERS.labels(str(status)).inc(answers)


def set_queue(fires: int) -> None:
    """Say how many fires wait in this process's queue."""
    _QUEUE.set(fires)


def set_spool(*, held_bytes: int, oldest_seconds: float) -> None:
    """Say what this process's spool holds, and the age of its oldest record; (0, 0) when it is empty."""
    _SPOOL_BYTES.set(held_bytes)
    _SPOOL_SECONDS.set(oldest_seconds)


def count_spool(*, written: int = 0, replayed: int = 0, damaged: int = 0) -> None:
    """Count records that went into a spool, were applied from one, or were set aside as damaged."""
    for what, records in (("written", written), ("replayed", replayed), ("damaged", damaged)):
        if records:
            _SPOOL_RECORDS.labels(what).inc(records)


def count_shared_identifiers(refused: int) -> None:
    """Count messages with an identifier for which its profile had no room."""
    _SHARED.inc(refused)


def count_run(state: str, reason: str = "") -> None:
    """Count a run that has ended."""
    _RUNS.labels(state, reason).inc()


def count_delivery(*, rows: int, sent_bytes: int, seconds: float) -> None:
    """Count what a delivered run has brought, and how long it took from its start."""
    _RUN_ROWS.inc(rows)
    _RUN_BYTES.inc(sent_bytes)
    _RUN_SECONDS.observe(seconds)


def observe_task(task: str, result: str, seconds: float) -> None:
    """Count a background task: `done` or `failed`."""
    _TASK_SECONDS.labels(task, result).observe(seconds)
