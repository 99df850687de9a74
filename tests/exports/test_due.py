"""What the tick inserts: due runs, missed times, and what was owed while a destination was paused."""

from datetime import UTC, datetime, time, timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection

from audience.tenancy import acting_for
from exports import calendar, readiness
from exports.editing import save_export
from exports.models import Export, Run
from exports.working import work_on
from tests.exports.scene import Scene

DAY = timedelta(days=1)
NOW = datetime(2027, 3, 10, 4, 0, 30, tzinfo=UTC)


def nightly(scene: Scene, *, planned: datetime, **fields: object) -> Export:
    """An export that was due at `planned` next, at 04:00 UTC."""
    export = scene.export(
        scene.folder_destination(), scene.segment(members=1), schedule="nightly", at_time=time(4), **fields
    )
    Export.all_advertisers.filter(pk=export.pk).update(next_due_at=planned)
    return export


def runs_of(scene: Scene, export: Export) -> list[tuple[str, str, int]]:
    """State, reason and day of each run, oldest first."""
    with acting_for(scene.advertiser.pk):
        runs = Run.objects.filter(export=export).order_by("due_at", "pk")
        return [(run.state, run.reason, run.due_at.day) for run in runs]


def next_due(export: Export) -> datetime:
    return Export.all_advertisers.get(pk=export.pk).next_due_at


def test_saving_plans_the_next_run_and_the_tick_makes_it_once(scene: Scene) -> None:
    export = scene.export(scene.folder_destination(), scene.segment(members=1))
    with acting_for(scene.advertiser.pk):
        export.schedule, export.at_time, export.zone = "nightly", time(2, 30), "Europe/Berlin"
        save_export(export)
    due = next_due(export)
    calendar.tick(due - timedelta(seconds=1))
    assert runs_of(scene, export) == []
    for _ in range(3):
        calendar.tick(due + timedelta(seconds=1))
    (run,) = Run.all_advertisers.filter(export=export)
    assert (run.due_at, run.state, run.cause) == (due, "queued", "timetable")
    assert next_due(export) > due
    work_on(run.pk)
    assert scene.fresh(run).state == "delivered"


def test_many_ticks_at_one_instant_make_one_run(scene: Scene) -> None:
    export = nightly(scene, planned=NOW.replace(second=0))
    gate = Barrier(6)

    def tick() -> None:
        gate.wait()
        try:
            calendar.tick(NOW)
        finally:
            connection.close()

    threads = [Thread(target=tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs_of(scene, export) == [("queued", "", 10)]


@pytest.mark.spec("X15")
def test_the_night_without_the_hour(scene: Scene) -> None:
    export = nightly(scene, planned=datetime(2027, 3, 28, 1, 0, tzinfo=UTC), zone="Europe/Berlin")
    Export.all_advertisers.filter(pk=export.pk).update(at_time=time(2, 30))
    calendar.tick(datetime(2027, 3, 28, 1, 0, 20, tzinfo=UTC))
    assert runs_of(scene, export) == [("queued", "", 28)]
    assert next_due(export) == datetime(2027, 3, 29, 0, 30, tzinfo=UTC)


class TestCatchUp:
    """Down since the morning of the 7th; the runs of 8, 9 and 10 at 04:00 were missed. It is the 10th, 13:00."""

    LATE = NOW + timedelta(hours=9)
    FIRST = datetime(2027, 3, 8, 4, tzinfo=UTC)

    @pytest.mark.spec("X17")
    def test_one(self, scene: Scene) -> None:
        export = nightly(scene, planned=self.FIRST, catch_up="one")
        calendar.tick(self.LATE)
        assert runs_of(scene, export) == [("skipped", "missed", 8), ("skipped", "missed", 9), ("queued", "", 10)]
        assert next_due(export) == datetime(2027, 3, 11, 4, tzinfo=UTC)

    @pytest.mark.spec("X17")
    def test_none(self, scene: Scene) -> None:
        export = nightly(scene, planned=self.FIRST, catch_up="none")
        calendar.tick(self.LATE)
        assert runs_of(scene, export) == [("skipped", "missed", day) for day in (8, 9, 10)]

    @pytest.mark.spec("X17")
    def test_each_one_after_the_other(self, scene: Scene) -> None:
        export = nightly(scene, planned=self.FIRST, catch_up="each")
        for done in range(3):
            calendar.tick(self.LATE)
            calendar.tick(self.LATE)  # while it is still going on
            runs = runs_of(scene, export)
            assert len(runs) == done + 1
            work_on(Run.all_advertisers.filter(export=export).latest("due_at").pk)
        calendar.tick(self.LATE)
        assert runs_of(scene, export) == [("delivered", "", day) for day in (8, 9, 10)]
        assert next_due(export) == datetime(2027, 3, 11, 4, tzinfo=UTC)

    def test_what_is_older_than_seven_days_is_not_caught_up(self, scene: Scene) -> None:
        export = nightly(scene, planned=NOW - 20 * DAY, catch_up="one")
        calendar.tick(NOW)
        assert [day for _, _, day in runs_of(scene, export)] == [4, 5, 6, 7, 8, 9, 10]

    def test_a_little_late_is_not_missed(self, scene: Scene) -> None:
        export = nightly(scene, planned=datetime(2027, 3, 10, 4, tzinfo=UTC), catch_up="none")
        calendar.tick(NOW + timedelta(minutes=3))
        assert runs_of(scene, export) == [("queued", "", 10)]


@pytest.mark.spec("X17")
def test_a_run_that_still_goes_on_lets_the_next_one_out(scene: Scene) -> None:
    export = nightly(scene, planned=datetime(2027, 3, 9, 4, tzinfo=UTC))
    calendar.tick(NOW - DAY)
    calendar.tick(NOW)
    assert runs_of(scene, export) == [("queued", "", 9), ("skipped", "overlap", 10)]
    assert next_due(export) == datetime(2027, 3, 11, 4, tzinfo=UTC)


@pytest.mark.parametrize("catch_up", ["one", "none", "each"])
def test_what_was_due_at_a_paused_destination_is_caught_up_when_it_is_ready(scene: Scene, catch_up: str) -> None:
    export = nightly(scene, planned=datetime(2027, 3, 9, 4, tzinfo=UTC), catch_up=catch_up)
    with acting_for(scene.advertiser.pk):
        readiness.pause_by_person(export.destination)
    calendar.tick(NOW - DAY)
    calendar.tick(NOW)
    skipped = [("skipped", "destination_paused", 9), ("skipped", "destination_paused", 10)]
    assert runs_of(scene, export) == skipped
    with acting_for(scene.advertiser.pk):
        readiness.enable(export.destination)
    for _ in range(4):
        calendar.tick(NOW + timedelta(hours=1))
        for run in Run.all_advertisers.filter(export=export, state="queued"):
            work_on(run.pk)
    caught_up = [day for state, _, day in runs_of(scene, export) if state == "delivered"]
    assert caught_up == {"one": [10], "none": [], "each": [9, 10]}[catch_up]


def test_an_export_that_is_off_is_never_due(scene: Scene) -> None:
    export = nightly(scene, planned=NOW - DAY, is_active=False)
    calendar.tick(NOW)
    assert runs_of(scene, export) == []


def test_once_at_a_time(scene: Scene) -> None:
    export = scene.export(scene.folder_destination(), scene.segment(members=1), schedule="once", once_at=NOW)
    with acting_for(scene.advertiser.pk):
        calendar.plan(export, now=NOW - DAY)
        export.save()
    calendar.tick(NOW + timedelta(seconds=5))
    calendar.tick(NOW + DAY)
    assert runs_of(scene, export) == [("queued", "", 10)]
    assert next_due(export) is None
