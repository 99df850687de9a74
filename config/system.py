"""The System page: how the installation is, line by line, for its operator.

A line looks at one thing and says how it is in words, with a figure and one sentence: what it means, or what to do.
A line that cannot look is broken, and never takes the page with it.
"""

import http.client
import platform
import shutil
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache

import django
import structlog
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.utils import timezone

from config import health, readings
from config.clockwork import CLOCKWORK, OFFERED_EVERY_SECONDS
from config.ports import nearby

DOOR_PATIENCE_SECONDS = 3.0
SILENT_AFTER_SECONDS = 45
PROGRAMS = {"celery": "Worker", "exports": "Exporter", "beat": "Beat"}

log = structlog.get_logger(__name__)


class State(Enum):
    """How a thing is, with the mark that the page shows it by."""

    FINE = "fine", "delivered"
    LOOK = "look here", "late"
    BROKEN = "broken", "failed"

    def __init__(self, label: str, mark: str) -> None:
        self.label = label
        self.mark = mark


@dataclass(frozen=True)
class Line:
    """What the page says of one thing."""

    title: str
    state: State
    figure: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """A number against two limits, and the sentence for each of the three states."""

    fine: str
    look: str
    broken: str
    look_from: float
    broken_from: float

    def of(self, title: str, number: float, figure: str) -> Line:
        if number >= self.broken_from:
            return Line(title, State.BROKEN, figure, self.broken)
        if number >= self.look_from:
            return Line(title, State.LOOK, figure, self.look)
        return Line(title, State.FINE, figure, self.fine)


def show(request: HttpRequest) -> HttpResponse:
    """Answer the page; operators only."""
    if not getattr(request.user, "is_superuser", False):
        raise PermissionDenied
    found = lines()
    context = {
        **admin.site.each_context(request),
        "title": "System",
        "lines": found,
        "worst": max((line.state for line in found), key=list(State).index),
        "troubled": sum(line.state is not State.FINE for line in found),
        "versions": versions(),
        "looked_at": timezone.now(),
    }
    return TemplateResponse(request, "admin/system.html", context)


def lines() -> list[Line]:
    """Look at everything, in the order of the page."""
    found: list[Line] = []
    for title, look in LOOKS:
        try:
            found += look()
        except Exception as error:
            log.warning("the System page cannot look", line=title, error=type(error).__name__)
            found.append(Line(title, State.BROKEN, "not known", UNKNOWN.get(title, "Look into the log of the web.")))
    return found


def database() -> Iterable[Line]:
    began = time.monotonic()
    faults = health.faults()
    milliseconds = (time.monotonic() - began) * 1000
    for fault in faults:
        yield Line("Installation", State.BROKEN, fault.code, fault.sentence)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int, pg_database_size(current_database())"
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        used, most, size = cursor.fetchone()
    figure = f"answers in {milliseconds:.0f} ms · {filesizeformat(size)} · {used} of {most} connections"
    yield CONNECTIONS.of("Database", used / most, figure)


CONNECTIONS = Verdict(
    fine="PostgreSQL answers and has connections to spare.",
    look="Connections are running out: raise max_connections, or run fewer processes.",
    broken="There are no connections left: raise max_connections, or run fewer processes.",
    look_from=0.8,
    broken_from=0.97,
)


def door() -> Iterable[Line]:
    """Ask the door of this machine, as a load balancer does."""
    began = time.monotonic()
    status = _ask_door("/health/ready")
    milliseconds = (time.monotonic() - began) * 1000
    if status == 200:
        yield Line("Door", State.FINE, f"ready in {milliseconds:.0f} ms", "It takes fires.")
    else:
        sentence = "It cannot store fires: look at the database first, then into the door's log."
        yield Line("Door", State.BROKEN, f"answers {status}", sentence)
    status = _ask_door("/health/sink")
    if status == 200:
        yield Line("Spool", State.FINE, "empty", "Fires go into the database at once.")
    elif status == 503:
        sentence = "Fires wait on this machine's disk until the database takes them: look at the database."
        yield Line("Spool", State.LOOK, "in use", sentence)


def _ask_door(path: str) -> int:
    listener = http.client.HTTPConnection(*nearby(settings.MUSTER_PIXEL_BIND), timeout=DOOR_PATIENCE_SECONDS)
    try:
        listener.request("GET", path)
        return listener.getresponse().status
    finally:
        listener.close()


def programs() -> Iterable[Line]:
    """Each program must live on one machine at least."""
    known = readings.signs()
    for program, title in PROGRAMS.items():
        signs = [sign for sign in known if sign.program == program]
        living = [sign for sign in signs if sign.seconds <= SILENT_AFTER_SECONDS]
        silent = [sign.host for sign in signs if sign.seconds > SILENT_AFTER_SECONDS]
        if not living:
            figure = f"last heard of {_ago(signs[0].seconds)}" if signs else "never heard of"
            yield Line(title, State.BROKEN, figure, f"{WITHOUT[program]} Start it: look at manage.py up and its log.")
        elif silent:
            sentence = "It is missing on a machine: start it there, or leave it, and the line is gone in a day."
            yield Line(title, State.LOOK, f"silent on {', '.join(silent)}", sentence)
        else:
            hosts = ", ".join(sign.host for sign in living)
            yield Line(title, State.FINE, f"heard of {_ago(living[0].seconds)} on {hosts}", DOES[program])


DOES = {
    "celery": "It sweeps, merges counts and looks after the tables.",
    "exports": "It writes and sends the files of exports.",
    "beat": "It says when background work is due.",
}
WITHOUT = {
    "celery": "Nobody publishes leaves, merges counts and starts exports.",
    "exports": "Nobody writes and sends files.",
    "beat": "Nothing is started by time.",
}


def sweeper() -> Iterable[Line]:
    seconds = readings.sweeper_lateness()
    yield SWEEPER.of("Sweeper", seconds, "on time" if seconds < 1 else f"{_span(seconds)} late")


SWEEPER = Verdict(
    fine="Leaves by time are published as they happen.",
    look="Charts are late; lists, counts and files are right. It should catch up: look again in a minute.",
    broken="Charts are late; lists, counts and files are right. Look at the worker and at beat.",
    look_from=30,
    broken_from=300,
)


def queues() -> Iterable[Line]:
    lengths = readings.queue_lengths()
    figure = " · ".join(f"{PROGRAMS[queue].lower()} {length:,}" for queue, length in lengths.items())
    yield QUEUES.of("Queues", max(lengths.values()), figure)


QUEUES = Verdict(
    fine="Background tasks are taken as they come.",
    look="Tasks come faster than they are taken: look at the worker, or raise MUSTER_WORKER_CONCURRENCY.",
    broken="Nobody takes tasks: look at the worker and the exporter. Emptying the broker loses nothing.",
    look_from=100,
    broken_from=1_000,
)


def merges() -> Iterable[Line]:
    rows = max(one.rows for one in readings.backlogs())
    seconds = readings.oldest_delta_seconds()
    most = readings.MOST_COUNTED
    figure = f"{'more than ' if rows >= most else ''}{_rows(rows)} behind"
    if seconds >= 1:
        figure += f", the oldest from {_ago(seconds)}"
    yield MERGES.of("Counts", max(seconds / 60, rows / 20_000), figure)


# In minutes, or twenties of thousands of rows.
MERGES = Verdict(
    fine="Counts are merged every few seconds.",
    look="Merging is behind; numbers are right, and pages get slower. It should catch up: look again in a minute.",
    broken="Nobody merges counts; numbers are right, and pages get slower. Look at the worker and at beat.",
    look_from=1,
    broken_from=10,
)


def partitions() -> Iterable[Line]:
    found = readings.partitions()
    nearest = min(found, key=lambda one: one.headroom_seconds / one.unit_seconds)
    figure = f"{_span(max(0, nearest.headroom_seconds))} ahead ({nearest.table})"
    if waiting := sum(one.default_rows for one in found):
        sentence = "Rows wait for a partition of their own and get it within the hour: see that the worker runs."
        yield Line("Partitions", State.LOOK, f"{figure} · {_rows(waiting)} in DEFAULT", sentence)
    else:
        yield PARTITIONS.of("Partitions", -nearest.headroom_seconds / nearest.unit_seconds, figure)


# In units of the table, days or months, below zero.
PARTITIONS = Verdict(
    fine="Tables are ready for what comes.",
    look="Partitions are not made ahead: look at the worker. Facts are kept all the same.",
    broken="There is no partition for what comes: facts are kept in DEFAULT. Look at the worker.",
    look_from=-2,
    broken_from=0,
)


def runs() -> Iterable[Line]:
    found = readings.runs()
    under_way = found.by_state["writing"] + found.by_state["sending"]
    figure = f"{under_way} under way · {sum(found.by_state.values()) - under_way} waiting"
    if found.stalled:
        sentence = "A worker went silent over a run; another one takes it over within a minute."
        yield Line("Exports", State.LOOK, f"{figure} · {found.stalled} without a worker", sentence)
    elif found.failed_in_a_day:
        sentence = "Runs failed within a day: each says why on its page, to the people of its advertiser."
        yield Line("Exports", State.LOOK, f"{figure} · {found.failed_in_a_day} failed", sentence)
    else:
        yield Line("Exports", State.FINE, figure, "No run failed within a day.")


def timed_tasks() -> Iterable[Line]:
    """Look at what comes every hour or day; what comes more often shows in the lines above."""
    slow = [one for one in readings.timed_tasks() if CLOCKWORK.get(one.name, 0) > OFFERED_EVERY_SECONDS]
    failing = [f"{one.name} ({one.error})" for one in slow if one.error]
    late = [one.name for one in slow if not one.error and one.seconds_ago and _is_late(one.name, one.seconds_ago)]
    if failing:
        sentence = "It is tried again every five minutes: the worker's log says what is wrong."
        yield Line("Housekeeping", State.BROKEN, ", ".join(failing), sentence)
    elif late:
        sentence = "Nobody has done it for too long: look at the worker and at beat."
        yield Line("Housekeeping", State.LOOK, ", ".join(late), sentence)
    else:
        sentence = "Partitions, retention and the nightly check are done when they are due."
        yield Line("Housekeeping", State.FINE, f"{len(slow)} tasks in time" if slow else "not due yet", sentence)


def _is_late(name: str, seconds: float) -> bool:
    return seconds > CLOCKWORK[name] + 4 * OFFERED_EVERY_SECONDS


def disk() -> Iterable[Line]:
    folders = {"Disk": settings.DATA_DIR}
    if settings.EXPORT_RUN_DIR.exists() and not settings.EXPORT_RUN_DIR.is_relative_to(settings.DATA_DIR):
        folders["Disk of runs"] = settings.EXPORT_RUN_DIR
    for title, folder in folders.items():
        usage = shutil.disk_usage(folder)
        figure = f"{filesizeformat(usage.free)} of {filesizeformat(usage.total)} free at {folder}"
        yield DISK.of(title, 1 - usage.free / usage.total, figure)


DISK = Verdict(
    fine="There is room.",
    look="Space is running out: make room, or move the folder to a larger disk.",
    broken="The disk is almost full, and then nothing can be stored: make room now.",
    look_from=0.85,
    broken_from=0.95,
)


@cache
def _own_version() -> str:
    return str(tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"])


def versions() -> list[tuple[str, str]]:
    """Return the versions of what an operator is asked for in a report."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        server = str(cursor.fetchone()[0]).partition(" ")[0]
    return [
        ("Muster", _own_version()),
        ("PostgreSQL", server),
        ("Python", platform.python_version()),
        ("Django", django.get_version()),
    ]


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _ago(seconds: float) -> str:
    return "now" if seconds < 1 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    """Return a span of time in its largest unit, rounded down."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{seconds:.0f} s"


LOOKS: list[tuple[str, Callable[[], Iterable[Line]]]] = [
    ("Database", database),
    ("Door", door),
    ("Programs", programs),
    ("Sweeper", sweeper),
    ("Counts", merges),
    ("Queues", queues),
    ("Partitions", partitions),
    ("Housekeeping", timed_tasks),
    ("Exports", runs),
    ("Disk", disk),
]
UNKNOWN = {
    "Door": "The door of this machine does not answer: look at manage.py up and the door's log.",
    "Queues": "The broker does not answer: look at CELERY_BROKER_URL. Background work goes on when it is back.",
}
