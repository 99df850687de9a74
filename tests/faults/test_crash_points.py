"""The process dies at each point of the list, and the work ends without a person's help."""

import os
import signal
import subprocess
import sys

import pytest

from audience.crash import CRASH_POINTS
from tests.faults.scene import answers
from tests.running import ROOT, until

pytestmark = pytest.mark.spec("R11")

IN_BATCHES = ("batch.before_commit", "batch.after_commit")
IN_SPOOLS = ("spool.written", "spool.synced")
IN_REPLAYS = ("replay.after_commit",)
IN_TASKS = {
    "count.merged": "pixels.counts.merge_deltas()",
    "sweep.before_commit": "segments.sweeper.sweep()",
    "sweep.after_commit": "segments.sweeper.sweep()",
}


def test_every_point_is_died_at():
    elsewhere = {point for point in CRASH_POINTS if point.startswith("export.")}
    elsewhere |= {"retention.dropped", "profile.merged", "rule.chunk"}
    assert {*IN_BATCHES, *IN_SPOOLS, *IN_REPLAYS, *IN_TASKS} == set(CRASH_POINTS) - elsewhere


@pytest.fixture
def dying(scene):
    """Start the door anew such that it dies at a point; yield how."""

    def start_again(point: str) -> None:
        scene.door.stop()
        scene.door.environment["CRASH_AT"] = point
        scene.door.start()

    return start_again


def finish(scene, ledger):
    """A door without the fault does the rest."""
    scene.door.kill()
    del scene.door.environment["CRASH_AT"]
    scene.door.start()
    return scene.check(ledger, is_refusal_allowed=True)


def a_worker_died(scene, first):
    return first - set(scene.door.workers())


@pytest.mark.parametrize("point", IN_BATCHES)
def test_crash_points_of_a_batch(scene, dying, point):
    dying(point)
    workers = set(scene.door.workers())
    with scene.load(awaits=0) as ledger:
        until(lambda: a_worker_died(scene, workers), "it dies")
    book = finish(scene, ledger)
    assert not book.answered, "nothing was answered before its commit"


@pytest.mark.parametrize("point", [*IN_SPOOLS, *IN_REPLAYS])
def test_crash_points_of_a_spool(scene, dying, point):
    dying(point)
    workers = set(scene.door.workers())
    with scene.load() as ledger:
        scene.database.crash()
        if point in IN_REPLAYS:
            until(scene.is_spool_in_use, "the spool is in use")
            answers(ledger, 100)
        else:
            until(lambda: a_worker_died(scene, workers), "it dies")
        scene.database.start()
        until(lambda: a_worker_died(scene, workers), "it dies")
    finish(scene, ledger)


def test_a_worker_dies_before_what_it_had_spooled_is_committed(scene, dying):
    with scene.load() as ledger:
        scene.database.crash()
        until(scene.is_spool_in_use, "the spool is in use")
        dying("batch.before_commit")
        answers(ledger, 100)
        workers = set(scene.door.workers())
        scene.database.start()
        until(lambda: a_worker_died(scene, workers), "it dies")
    finish(scene, ledger)


@pytest.mark.parametrize("point", IN_TASKS)
def test_crash_points_of_tasks(scene, point):
    with scene.load() as ledger:
        answers(ledger, 200)
    scene.door.settle()
    with scene.database.connect() as connection:
        connection.execute(
            "UPDATE segments_membership SET expires_at = now(), sweep_at = now()"
            " WHERE profile_id IN (SELECT profile_id FROM segments_membership LIMIT 20)"
        )
    assert run(scene, IN_TASKS[point], CRASH_AT=point) == -signal.SIGKILL
    assert run(scene, IN_TASKS[point]) == 0
    balance = scene.manage("balance")
    assert balance.returncode == 0, balance.stdout + balance.stderr
    with scene.database.connect() as connection:
        left = connection.execute("SELECT count(*) FROM segments_transition WHERE change = 'leave'").fetchone()
    assert left == ((20,) if "sweep" in point else (0,))


def run(scene, work: str, **environment: str) -> int:
    code = f"import django; django.setup(); import pixels.counts, segments.sweeper; {work}"
    known = {**os.environ, **scene.door.environment, "DATABASE_URL": scene.database.url, **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=known, timeout=60, check=False).returncode
