"""What comes by time follows from rows: lost messages, restarts and two workers at once change nothing."""

import pytest
from django.db import connection

from config import clockwork
from config.celery import app
from tests.running import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R8")]

DAILY, FAST = "segments.tasks.check_counts", "segments.tasks.sweep"


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    monkeypatch.setattr(clockwork, "_noted_at", {})


class Work:
    """Counts how often it was done; fails while it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    def __call__(self) -> str:
        self.times += 1
        if self.fails:
            raise OSError("canary@example.com")
        return "result"


def row(name: str) -> tuple:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ended_at, failed_at, error FROM config_timedtask WHERE name = %s", [name])
        return cursor.fetchone()


def let_time_pass(hours: float) -> None:
    clockwork._noted_at.clear()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE config_timedtask SET ended_at = ended_at - make_interval(secs => %s)", [hours * 3600])


def test_a_daily_task_that_is_offered_all_the_time_is_done_once_a_day():
    work = Work()
    for _ in range(5):
        clockwork.perform(DAILY, work)
    assert work.times == 1
    let_time_pass(23)
    clockwork.perform(DAILY, work)
    assert work.times == 1
    let_time_pass(1)
    clockwork.perform(DAILY, work)
    assert work.times == 2


def test_a_clock_that_was_set_back_holds_nothing_up():
    work = Work()
    clockwork.perform(DAILY, work)
    let_time_pass(-48)
    clockwork.perform(DAILY, work)
    clockwork.perform(DAILY, work)
    assert work.times == 2


def test_a_task_that_failed_is_done_when_it_is_offered_next():
    work = Work()
    work.fails = True
    with pytest.raises(OSError, match="canary"):
        clockwork.perform(DAILY, work)
    ended, failed, error = row(DAILY)
    assert (ended, failed is None, error) == (None, False, "OSError")
    work.fails = False
    assert clockwork.perform(DAILY, work) == "result"
    ended, failed, _ = row(DAILY)
    assert ended > failed


def test_a_task_that_another_worker_is_at_is_left_to_it():
    """It may have been delivered twice, or come again because it lasts longer than a message may stay away."""
    work, other = Work(), connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [clockwork.LOCK, DAILY])
        clockwork.perform(DAILY, work)
        assert work.times == 0
    other.close()  # as when that worker is killed; PostgreSQL learns of it a moment later
    until(lambda: clockwork.perform(DAILY, work) == "result", "the lock is free")
    assert work.times == 1


def test_what_comes_every_few_seconds_is_always_done_and_rarely_noted():
    work = Work()
    for _ in range(3):
        clockwork.perform(FAST, work)
    first = row(FAST)
    assert (work.times, first[0] is None) == (3, False)
    clockwork.perform(FAST, work)
    assert row(FAST) == first


def test_other_tasks_leave_no_row():
    assert clockwork.perform("exports.tasks.work_on_run", Work()) == "result"
    assert row("exports.tasks.work_on_run") is None


def test_every_task_of_ours_is_measured_and_a_direct_call_is_just_a_call():
    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    assert len(ours) >= len(clockwork.CLOCKWORK)
    assert [task.name for task in ours if not isinstance(task, clockwork.MeasuredTask)] == []
    app.tasks[DAILY]()
    assert row(DAILY) is None
