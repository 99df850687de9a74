"""Who is in follows from the clock alone: workers dead, the clock set to the very instants, forth and back.

Everything runs as in life (web, door, workers, PostgreSQL), by a clock that the test sets.
"""

import csv
import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from audience.models import Advertiser
from audience.tenancy import acting_for
from exports.models import Destination, Export, ExportColumn, ExportSegment
from segments.models import Segment
from tests.browsing import Person
from tests.callers import make_caller
from tests.clock import Clock, server_by
from tests.factories import make_advertiser, make_segment
from tests.running import LiveMuster, descendants, own_folder, until

pytestmark = pytest.mark.spec("R7")

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ORDINARY = datetime(2026, 12, 1, 12, tzinfo=UTC)
# In Berlin the clock goes from 2 to 3 at 1:00 UTC of the one, from 3 to 2 at 1:00 UTC of the other.
TO_SUMMER = datetime(2027, 3, 27, 13, 30, tzinfo=UTC)
FROM_SUMMER = datetime(2027, 10, 30, 13, 30, tzinfo=UTC)
LIFETIME = DAY
# Made from what has moved up to now: they know nothing of a past before it, to which only a broken clock leads.
COUNTED = {"API size", "API size in the list", "API report", "admin size", "admin size in the list", "dashboard"}
WORKERS = ("--queues=celery", "--queues=exports", "StandbyScheduler")


@dataclass
class World:
    """A Muster, its clock, and one segment with one member to come."""

    muster: LiveMuster
    clock: Clock
    segment: Segment
    export: Export
    token: str
    operator: Person
    stopped: list[int] = field(default_factory=list)

    def call(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.muster.admin_url}/api/v1{path}", content, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def add(self, customer: str) -> None:
        asked = {"add": [{"identifier": {"kind": "customer_id", "value": customer}}]}
        assert self.call(f"/segments/{self.segment.pk}/members", asked)["applied"] == 1

    def sign_in(self) -> None:
        """Sign the operator in for all of the test, wherever its clock goes."""
        self.operator.sign_in("operator", self.muster.operator_password)
        with self.muster.connect() as connection:
            connection.execute("UPDATE django_session SET expire_date = '2030-01-01'")

    def seen(self) -> dict[str, bool]:
        """Return whether the member is in, as each reader says."""
        pk, code, operator = self.segment.pk, self.segment.code, self.operator
        profile = self.call("/profiles/find", {"kind": "customer_id", "value": "C-1"})
        report = self.call(f"/reports/segment-loads?segment={code}")
        overview = operator.get(f"/admin/segments/segment/{pk}/overview/")[1]
        rows = json.loads(operator.post("/admin/", at=f"/admin/exports/export/{self.export.pk}/rows-now/")[1])["rows"]
        return {
            "API list of members": bool(self.call(f"/segments/{pk}/members")["results"]),
            "API size": self.call(f"/segments/{pk}")["size"] == 1,
            "API size in the list": self.call("/segments")["results"][0]["size"] == 1,
            "API profile": bool(profile["memberships"]),
            "API report": report["rows"][-1]["active"] == 1,
            "admin size": _number(overview, "Members now") == 1,
            "admin list of members": "has left" not in overview,
            "admin size in the list": ">1<" in _row_of(operator.get("/admin/segments/segment/")[1], code),
            "admin profile": "In no segment" not in operator.get(_page_of(profile["id"]))[1],
            "dashboard": "<strong>1</strong>" in operator.get("/admin/")[1],
            "preview of an export": rows == [["C-1"]],
        }

    def exported(self) -> list[list[str]]:
        """Run the export in the foreground; return the rows of the file it delivers."""
        before = set(self.folder.glob("*.csv")) if self.folder.exists() else set()
        self.muster.manage("run_export", str(self.export.pk))
        (file,) = set(self.folder.glob("*.csv")) - before
        return list(csv.reader(file.read_text().splitlines()))[1:]

    @property
    def folder(self) -> Path:
        return self.muster.folder / "exports" / self.segment.code

    def transitions(self) -> list[tuple[str, datetime]]:
        with self.muster.connect() as connection:
            return connection.execute(
                "SELECT change, at FROM segments_transition WHERE segment_id = %s ORDER BY at", [self.segment.pk]
            ).fetchall()

    def has_workers(self) -> bool:
        with self.muster.connect() as connection:
            programs = connection.execute("SELECT program FROM config_heartbeat").fetchall()
        return {("celery",), ("exports",), ("beat",)} <= set(programs)

    def stop_workers(self) -> None:
        assert self.muster.process is not None
        family = descendants(self.muster.process.pid)
        programs = [pid for pid, line in family.items() if any(word in line for word in WORKERS)]
        self.stopped = sorted({*programs, *(child for pid in programs for child in descendants(pid))})
        for pid in self.stopped:
            os.kill(pid, signal.SIGSTOP)

    def let_workers_go(self) -> None:
        for pid in self.stopped:
            os.kill(pid, signal.SIGCONT)
        self.stopped = []


def _number(page: str, name: str) -> int:
    found = re.search(rf'{name}</span><span class="m-stat__value">([\d,]+)<', page)
    assert found is not None, name
    return int(found[1].replace(",", ""))


def _row_of(page: str, code: str) -> str:
    (row,) = (row for row in page.split("<tr") if f"<small>{code}</small>" in row)
    return row


def _page_of(profile_id: str) -> str:
    return f"/admin/audience/profile/{profile_id}/change/"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[LiveMuster, Clock]]:
    folder = own_folder("clock")
    clock = Clock(folder)
    clock.flow_from(ORDINARY - DAY)
    with server_by(clock, folder) as server:
        muster = LiveMuster(folder, environment={"DATABASE_URL": server.url, **clock.environment})
        try:
            yield muster.start(), clock
        finally:
            muster.stop()


@contextmanager
def world(running: tuple[LiveMuster, Clock], start: datetime) -> Iterator[World]:
    """A fresh advertiser at a time shortly before `start`, with workers that are stopped."""
    muster, clock = running
    clock.flow_from(start - HOUR)
    with muster.orm():
        advertiser = make_advertiser(time_zone="Europe/Berlin")
        segment = make_segment(advertiser, f"s{advertiser.pk}", lifetime_minutes=LIFETIME // timedelta(minutes=1))
        export, token = _export(advertiser, segment), _token(advertiser)
    made = World(muster, clock, segment, export, token, Person(muster.admin_url))
    until(made.has_workers, "workers and beat are there")
    made.stop_workers()
    try:
        made.sign_in()
        yield made
    finally:
        made.let_workers_go()
        with muster.connect() as connection:  # the dashboard shows the first advertiser's
            connection.execute("UPDATE audience_advertiser SET name = 'Z' || name")


def _token(advertiser: Advertiser) -> str:
    return make_caller(advertiser, expires_at=datetime(2030, 1, 1, tzinfo=UTC)).token


def _export(advertiser: Advertiser, segment: Segment) -> Export:
    with acting_for(advertiser.pk):
        fields = {"kind": "folder", "root": "exports", "path": segment.code, "receiver": "own", "state": "ready"}
        destination = Destination.objects.create(name="Folder", **fields)
        export = Export.objects.create(
            name="Export", destination=destination, compression="none", file_name="{run}.csv"
        )
        ExportSegment.objects.create(export=export, segment=segment)
        ExportColumn.objects.create(export=export, source="identifier", identifier_kind="customer_id")
    return export


def instants(start: datetime) -> list[tuple[datetime, bool]]:
    """Return instants, not in their order, and whether the member is in."""
    end = start + LIFETIME
    return [
        (start, True),
        (start - SECOND, False),  # the clock was set back before it began
        (end - SECOND, True),
        (end, False),
        (end + 8 * DAY, False),
        (end - HOUR, True),
        (end + DAY, False),
        (end - SECOND, True),
    ]


def check_readers(at: World, start: datetime, instant: datetime, *, is_in: bool) -> None:
    at.clock.stop_at(instant)
    wrong = {reader for reader, told in at.seen().items() if told != is_in}
    assert wrong - (COUNTED if instant < start else set()) == set(), instant


def check_the_return_of_workers(at: World, start: datetime, end: datetime) -> None:
    """One leave at the very end of the interval, however late they are and however the clock jumps."""
    assert at.transitions() == [("join", start)]
    at.clock.flow_from(end + 8 * DAY)
    at.let_workers_go()
    until(lambda: len(at.transitions()) == 2, "the leave is published", timeout_seconds=20)
    assert at.transitions() == [("join", start), ("leave", end)]
    at.clock.flow_from(end + 7 * DAY)
    at.add("C-2")
    at.clock.flow_from(end + 9 * DAY)
    until(lambda: len(at.transitions()) == 4, "after a jump forth they work on", timeout_seconds=20)
    at.clock.flow_from(end + 8 * DAY + HOUR)  # C-2 is out
    at.add("C-3")
    with at.muster.connect() as connection:
        (soon,) = connection.execute(
            "UPDATE segments_membership SET expires_at = now() + interval '2 seconds', sweep_at = now()"
            " WHERE segment_id = %s AND expires_at > now() RETURNING expires_at",
            [at.segment.pk],
        ).fetchone()
    until(lambda: ("leave", soon) in at.transitions(), "after a jump back they work on", timeout_seconds=20)
    left = [change for change in at.transitions() if change[0] == "leave"]
    assert (len(left), left[0]) == (3, ("leave", end))


def test_expiry_everywhere(running: tuple[LiveMuster, Clock], django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock(), world(running, ORDINARY) as at:
        at.clock.stop_at(ORDINARY)
        at.add("C-1")
        for instant, is_in in instants(ORDINARY):
            check_readers(at, ORDINARY, instant, is_in=is_in)
        end = ORDINARY + LIFETIME
        for instant, rows in ((end - SECOND, [["C-1"]]), (end, [])):
            at.clock.stop_at(instant)
            assert at.exported() == rows
        at.muster.manage("check_counts")
        check_the_return_of_workers(at, ORDINARY, end)


@pytest.mark.parametrize("start", [TO_SUMMER, FROM_SUMMER], ids=["to summer", "from summer"])
def test_a_change_of_summer_time_moves_no_end(
    running: tuple[LiveMuster, Clock], django_db_blocker: DjangoDbBlocker, start: datetime
) -> None:
    with django_db_blocker.unblock(), world(running, start) as at:
        at.clock.stop_at(start)
        at.add("C-1")
        for instant, is_in in ((start, True), (start + LIFETIME - SECOND, True), (start + LIFETIME, False)):
            check_readers(at, start, instant, is_in=is_in)


@pytest.mark.long
@pytest.mark.parametrize("start", [ORDINARY, TO_SUMMER, FROM_SUMMER], ids=["ordinary", "to summer", "from summer"])
def test_every_reader_and_the_workers_at_every_instant(
    running: tuple[LiveMuster, Clock], django_db_blocker: DjangoDbBlocker, start: datetime
) -> None:
    with django_db_blocker.unblock(), world(running, start) as at:
        at.clock.stop_at(start)
        at.add("C-1")
        for instant, is_in in instants(start):
            check_readers(at, start, instant, is_in=is_in)
            assert at.exported() == ([["C-1"]] if is_in else [])
            if instant >= start:
                at.muster.manage("check_counts")
        check_the_return_of_workers(at, start, start + LIFETIME)
