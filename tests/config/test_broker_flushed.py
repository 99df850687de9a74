"""The broker holds no truth: emptied, away, or with messages twice and late, everything is derived again from rows.

Everything runs as in life; beats and leases pass by a clock that the test sets.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from config.clockwork import CLOCKWORK
from config.leash import leashed
from exports.models import Export, Run
from segments.models import Segment
from tests.browsing import Person
from tests.callers import make_caller
from tests.clock import Clock, server_by
from tests.exports.scene import CUSTOMER, Scene
from tests.factories import make_advertiser, make_member, make_pixel, make_profile, make_segment
from tests.faults.door import NO_LIMITS
from tests.running import LiveMuster, descendants, free_ports, own_folder, until

pytestmark = pytest.mark.spec("R8")

BEAT = timedelta(seconds=CLOCKWORK["exports.tasks.tick"] + 1)
LEASE = timedelta(seconds=61)
WORDS = {"worker": "--queues=celery", "exporter": "--queues=exports"}


class Redis:
    """A broker's server that can be killed, or made to hang."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed (apt-get install redis-server)")
        (self.port,) = free_ports(1)
        folder = own_folder("redis")
        self._command = [program, "--port", str(self.port), "--dir", str(folder), "--save", "", "--bind", "127.0.0.1"]
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(leashed(self._command), stdout=subprocess.DEVNULL)
        until(self._answers, "redis answers")

    def empty(self) -> None:
        redis.Redis(port=self.port).flushall()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis(port=self.port).ping())
        except redis.ConnectionError:
            return False


@dataclass
class Site:
    """A Muster, its clock, and its broker where that is a server of its own."""

    muster: LiveMuster
    clock: Clock
    redis: Redis | None = None
    ahead: timedelta = timedelta()

    def pass_time(self, span: timedelta) -> None:
        self.ahead += span
        self.clock.flow_from(datetime.now(UTC) + self.ahead)

    def within_two_beats_and_a_lease(self, holds: Callable[[], Any], what: str) -> None:
        """Let the time pass, step by step, until it holds."""
        for span in (timedelta(), BEAT, BEAT, LEASE):
            self.pass_time(span)
            deadline = time.monotonic() + 6  # a worker that was killed needs some to start
            while time.monotonic() < deadline:
                if holds():
                    return
                time.sleep(0.1)
        raise AssertionError(f"not within two beats and a lease: {what}")

    def empty_broker(self, *, is_dropped: bool = False) -> None:
        if self.redis is not None:
            return self.redis.empty()
        with self.muster.connect() as connection:
            if is_dropped:
                connection.execute("DROP SCHEMA pgmq CASCADE")
                return None
            tables = connection.execute("SELECT queue_name FROM pgmq.meta").fetchall()
            assert {("celery",), ("exports",)} <= set(tables)
            for (queue,) in tables:
                connection.execute("SELECT pgmq.purge_queue(%s)", [queue])
        return None

    def family(self, program: str) -> list[int]:
        """Return the processes of a program, its main one first."""
        assert self.muster.process is not None
        family = descendants(self.muster.process.pid)
        word = WORDS[program]
        mains = [pid for pid, line in family.items() if word in line and "leash.py" not in line]
        return sorted({*mains, *(child for pid in mains for child in descendants(pid))})

    @contextmanager
    def asleep(self, *programs: str) -> Iterator[None]:
        pids = [pid for program in programs for pid in self.family(program)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def send(self, task: str, *arguments: Any) -> None:
        """Send a message as the web does."""
        call = f"from config.celery import app; app.send_task({task!r}, {list(arguments)!r})"
        self.muster.manage("shell", "-c", call)

    def leaves(self, segment: Segment) -> int:
        with self.muster.connect() as connection:
            asked = "SELECT count(*) FROM segments_transition WHERE segment_id = %s AND change = 'leave'"
            return connection.execute(asked, [segment.pk]).fetchone()[0]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A Muster with the broker that the test names: `pgmq` or `redis`."""
    folder = own_folder("flushed")
    clock = Clock(folder)
    server = Redis() if request.param == "redis" else None
    broker = {}
    if server is not None:
        server.start()
        broker = {"CELERY_BROKER_URL": server.url}
    with server_by(clock, folder) as database:
        environment = {"DATABASE_URL": database.url, **broker, **clock.environment, **NO_LIMITS}
        muster = LiveMuster(folder, environment=environment)
        try:
            site = Site(muster.start(), clock, server)
            until(lambda: has_workers(site), "workers and beat are there")
            yield site
        finally:
            muster.stop()
            if server is not None:
                server.kill()


def has_workers(site: Site) -> bool:
    with site.muster.connect() as connection:
        programs = connection.execute("SELECT program FROM config_heartbeat").fetchall()
    return {("celery",), ("exports",), ("beat",)} <= set(programs)


@pytest.fixture
def scene(site: Site, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    with django_db_blocker.unblock(), site.muster.orm():
        folder = site.muster.folder
        yield Scene(make_advertiser(), folder / "exports", folder / "runs")


def export_of(scene: Scene, name: str) -> Export:
    segment = make_segment(scene.advertiser, name)
    make_member(segment, make_profile(scene.advertiser, customer_id=f"C-{name}"), starts_at=an_hour_ago())
    destination = scene._destination(kind="folder", root="exports", path=f"{name}-{scene.advertiser.pk}")
    return scene.export(destination, segment, columns=[CUSTOMER], name=name, file_name="{run}.csv")


def an_hour_ago() -> datetime:
    return timezone.now() - timedelta(hours=1)


def is_delivered(scene: Scene, *runs: Run) -> bool:
    states = [scene.fresh(run).state for run in runs]
    assert "failed" not in states
    return states == ["delivered"] * len(runs)


def files(scene: Scene, export: Export) -> list[Path]:
    """Return the files of an export at its receiver."""
    return [*(scene.folder / export.destination.path).glob("*.csv")]


@contextmanager
def held_up(site: Site) -> Iterator[None]:
    """Let every run stand in the middle of its file."""
    with transaction_of(site) as other:
        other.execute("LOCK TABLE audience_identifier IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def transaction_of(site: Site) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that changes nothing, whose locks last as long as the block."""
    with site.muster.connect() as connection, connection.transaction(force_rollback=True):
        yield connection


OWN = pytest.mark.parametrize("site", ["pgmq"], indirect=True, scope="module")
REDIS = pytest.param("redis", marks=pytest.mark.redis)


@pytest.mark.parametrize(
    ("site", "is_dropped"),
    [
        ("pgmq", False),
        pytest.param("pgmq", True, marks=pytest.mark.long),
        pytest.param("redis", False, marks=[pytest.mark.long, pytest.mark.redis]),
    ],
    indirect=["site"],
    scope="module",
)
def test_emptied_during_exports_and_around_the_sweep(site: Site, scene: Scene, is_dropped: bool) -> None:
    under_way, waiting = export_of(scene, "under_way"), export_of(scene, "waiting")
    segment = make_segment(scene.advertiser, "soon")
    with held_up(site):
        first = scene.start(under_way)
        site.send("exports.tasks.work_on_run", first.pk)
        until(lambda: scene.fresh(first).state == Run.State.WRITING, "the exporter is at it")
        with site.asleep("worker", "exporter"):
            make_member(segment, starts_at=an_hour_ago(), lifetime=timedelta(hours=1))
            second = scene.start(waiting)
            site.send("exports.tasks.work_on_run", second.pk)
            site.empty_broker(is_dropped=is_dropped)
    site.within_two_beats_and_a_lease(lambda: is_delivered(scene, first, second), "both runs have ended")
    site.within_two_beats_and_a_lease(lambda: site.leaves(segment) == 1, "the leave is published")
    assert [len(files(scene, export)) for export in (under_way, waiting)] == [1, 1]


@OWN
def test_workers_killed_in_their_tasks(site: Site, scene: Scene) -> None:
    export = export_of(scene, "killed")
    segment = make_segment(scene.advertiser, "soon")
    make_member(segment, starts_at=an_hour_ago(), lifetime=timedelta(days=1))
    with held_up(site), transaction_of(site) as other, site.muster.connect() as third:
        run = scene.start(export)
        site.send("exports.tasks.work_on_run", run.pk)
        until(lambda: scene.fresh(run).state == Run.State.WRITING, "the exporter is at it")
        other.execute("LOCK TABLE segments_transition IN SHARE MODE")  # nobody publishes
        third.execute(
            "UPDATE segments_membership SET expires_at = now(), sweep_at = now() WHERE segment_id = %s", [segment.pk]
        )
        until(lambda: waits_for_a_lock(third), "the sweep has begun")
        for pid in [*site.family("worker"), *site.family("exporter")]:
            os.kill(pid, signal.SIGKILL)
    site.within_two_beats_and_a_lease(lambda: is_delivered(scene, run), "the run has ended")
    site.within_two_beats_and_a_lease(lambda: site.leaves(segment) == 1, "the leave is published")
    assert (len(files(scene, export)), scene.fresh(run).claim) == (1, 2)


def waits_for_a_lock(connection: psycopg.Connection[Any]) -> bool:
    asked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%sweep_at%%'"
    return connection.execute(asked).fetchone() is not None


@OWN
def test_a_task_that_comes_twice_and_one_that_comes_three_days_late(site: Site, scene: Scene) -> None:
    export, late_export = export_of(scene, "twice"), export_of(scene, "late")
    run = scene.start(export)
    with site.asleep("exporter"):
        for _ in range(2):
            site.send("exports.tasks.work_on_run", run.pk)
    until(lambda: is_delivered(scene, run), "the run has ended")
    late = scene.start(late_export)
    with site.asleep("exporter"):
        site.send("exports.tasks.work_on_run", late.pk)
        site.send("exports.tasks.work_on_run", run.pk)
        site.pass_time(timedelta(days=3))
    until(lambda: is_delivered(scene, late), "the late one has ended")
    site.within_two_beats_and_a_lease(lambda: waiting_messages(site) == 0, "all messages have been taken")
    assert [len(files(scene, one)) for one in (export, late_export)] == [1, 1]
    assert [scene.fresh(one).claim for one in (run, late)] == [1, 1]


def waiting_messages(site: Site) -> int:
    with site.muster.connect() as connection:
        return connection.execute("SELECT count(*) FROM pgmq.q_exports").fetchone()[0]


@pytest.mark.parametrize("site", [REDIS], indirect=True, scope="module")
@pytest.mark.parametrize("is_hanging", [pytest.param(False, id="gone", marks=pytest.mark.long), True])
def test_the_web_answers_as_ever_while_the_broker_is_away(site: Site, scene: Scene, is_hanging: bool) -> None:
    """Where tasks wait in the database, the broker is away with it."""
    assert site.redis is not None
    visitor = Visitor(site, scene)
    before = visitor.answers(export_of(scene, "before"))
    if is_hanging:
        site.redis.process.send_signal(signal.SIGSTOP)
    else:
        site.redis.kill()
    meanwhile = export_of(scene, "meanwhile")
    began = time.monotonic()
    assert visitor.answers(meanwhile) == before
    assert time.monotonic() - began < 20
    if is_hanging:
        site.redis.process.send_signal(signal.SIGCONT)
    else:
        site.redis.start()
    site.within_two_beats_and_a_lease(lambda: len(files(scene, meanwhile)) == 1, "the run has ended")


class Visitor:
    """Somebody who uses everything that sends tasks, and some of what does not."""

    def __init__(self, site: Site, scene: Scene) -> None:
        self.site, self.scene = site, scene
        token = make_caller(scene.advertiser, expires_at=timezone.now() + timedelta(days=30)).token
        self.caller = Person(site.muster.admin_url, Authorization=f"Bearer {token}")
        self.operator = Person(site.muster.admin_url)
        self.operator.sign_in("operator", site.muster.operator_password)
        self.key = make_pixel(scene.advertiser, make_segment(scene.advertiser, "fired")).public_key

    def answers(self, export: Export) -> list[int]:
        """Return the statuses of what it asks; an export is run now."""
        fire = f"{self.site.muster.pixel_url}/p/{self.key}.js"
        return [
            self.operator.get("/admin/")[0],
            self.operator.get("/admin/exports/run/")[0],
            self.caller.send("/api/v1/runs", {"export": export.pk})[0],
            self.caller.get("/api/v1/runs")[0],
            Person(fire).get("")[0],
            self.operator.get("/health/ready")[0],
        ]
