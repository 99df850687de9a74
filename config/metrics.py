"""`/metrics`: what Prometheus reads, about the whole installation, for whoever has the token.

What processes count comes from their files (`audience.metrics`); what stands in rows, in the broker or on the disk is
looked up now (`config.readings`). A source that does not answer is missing from the answer and has its `…_up` at 0:
with PostgreSQL away the counters of the door are what an operator needs most.
"""

import hmac
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from audience.metrics import FOLDER_VARIABLE
from config import readings

log = structlog.get_logger(__name__)

WHO = {"WWW-Authenticate": "Bearer"}
Samples = Iterable[tuple[tuple[str, ...], float]]
Row = tuple[str, str, tuple[str, ...], Callable[[], Samples]]


def make_folder() -> Path:
    """Make an empty folder for the numbers of the processes that are about to start; return it."""
    folder: Path = settings.DATA_DIR / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


@require_safe
def expose(request: HttpRequest) -> HttpResponse:
    """Answer all figures in Prometheus' text format; 404 without a token in the settings, 401 with a wrong one."""
    if not settings.MUSTER_METRICS_TOKEN:
        raise Http404
    if not _has_token(request):
        return HttpResponse("Say who you are.\n", status=401, content_type="text/plain", headers=WHO)
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(
        token.strip().encode(), settings.MUSTER_METRICS_TOKEN.encode()
    )


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Rows())
    registry.register(_Processes())
    return registry


class _Processes(Collector):
    """What the processes of this machine count; without `manage.py up`, what this one counts."""

    def collect(self) -> Iterator[Metric]:
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder:
            yield from (metric for metric in REGISTRY.collect() if metric.name.startswith("muster_"))
            return
        _forget_the_dead(Path(folder))
        yield from MultiProcessCollector(None, path=folder).collect()  # type: ignore[no-untyped-call]


def _forget_the_dead(folder: Path) -> None:
    """Leave out the gauges of processes that are gone: nothing waits in their queues. Their counts stay."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            mark_process_dead(int(pid), path=str(folder))  # type: ignore[no-untyped-call]


class _Rows(Collector):
    """What is looked up when somebody asks."""

    def collect(self) -> Iterator[Metric]:
        yield from _read(DATABASE, "muster_database_up", "1 where PostgreSQL answers")
        yield from _read(BROKER, "muster_broker_up", "1 where the broker of the background tasks answers")
        yield from _read(DISK, "muster_data_folder_up", "1 where the data folder can be looked at")


def _read(rows: Iterable[Row], up: str, meaning: str) -> Iterator[Metric]:
    """Yield the figures of one source, and whether it answered; after its first failure it is left in peace."""
    answers = 1
    for name, text, labels, read in rows:
        try:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, figure in read():
                family.add_metric(values, figure)
        except Exception as error:
            log.warning("a figure is missing", metric=name, error=type(error).__name__)
            answers = 0
            break
        yield family
    yield GaugeMetricFamily(up, meaning, value=answers)


def _one(figure: float) -> Samples:
    return [((), figure)]


def _runs() -> Samples:
    found = readings.runs()
    open_runs = [((state,), float(number)) for state, number in found.by_state.items()]
    return [*open_runs, (("stalled",), found.stalled), (("failed_in_a_day",), found.failed_in_a_day)]


def _folders() -> dict[str, Path]:
    return {"data": settings.DATA_DIR, "runs": settings.EXPORT_RUN_DIR}


def _free() -> Samples:
    return [((name,), shutil.disk_usage(folder).free) for name, folder in _folders().items() if folder.exists()]


def _total() -> Samples:
    return [((name,), shutil.disk_usage(folder).total) for name, folder in _folders().items() if folder.exists()]


DATABASE: list[Row] = [
    (
        "muster_sweeper_lateness_seconds",
        "Age of the oldest change by time that is not published",
        (),
        lambda: _one(readings.sweeper_lateness()),
    ),
    (
        "muster_unmerged_deltas",
        f"Rows of counts that wait to be merged, up to {readings.MOST_COUNTED}",
        ("table",),
        lambda: [((one.table,), one.rows) for one in readings.backlogs()],
    ),
    (
        "muster_oldest_delta_seconds",
        "Age of the oldest count of fires that is not merged",
        (),
        lambda: _one(readings.oldest_delta_seconds()),
    ),
    (
        "muster_partition_headroom_seconds",
        "How far ahead a table's partitions reach",
        ("table",),
        lambda: [((one.table,), one.headroom_seconds) for one in readings.partitions()],
    ),
    (
        "muster_partition_default_rows",
        f"Rows for which there is no partition of their own, up to {readings.MOST_COUNTED}",
        ("table",),
        lambda: [((one.table,), one.default_rows) for one in readings.partitions()],
    ),
    ("muster_runs", "Runs of exports that are open, by state; stalled; failed within a day", ("state",), _runs),
    (
        "muster_heartbeat_seconds",
        "Time since a worker or the beat was heard of",
        ("program", "host"),
        lambda: [((one.program, one.host), one.seconds) for one in readings.signs()],
    ),
    (
        "muster_timed_task_seconds",
        "Time since a task of the clockwork last ended",
        ("task",),
        lambda: [((one.name,), one.seconds_ago) for one in readings.timed_tasks() if one.seconds_ago is not None],
    ),
    (
        "muster_timed_task_failing",
        "1 where a task of the clockwork failed after it last ended",
        ("task",),
        lambda: [((one.name,), float(bool(one.error))) for one in readings.timed_tasks()],
    ),
]
BROKER: list[Row] = [
    (
        "muster_queue_messages",
        "Background tasks that wait or are under way",
        ("queue",),
        lambda: [((queue,), length) for queue, length in readings.queue_lengths().items()],
    ),
]
DISK: list[Row] = [
    ("muster_disk_free_bytes", "Free space of a folder's disk", ("folder",), _free),
    ("muster_disk_bytes", "Size of a folder's disk", ("folder",), _total),
]
