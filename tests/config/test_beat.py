"""One beat ticks, whatever the number of beats; and its clockwork names tasks that exist."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from config import broker
from config.celery import app
from config.clockwork import CLOCKWORK, OFFERED_EVERY_SECONDS, beat_schedule
from config.leash import leashed
from config.postgres import EmbeddedServer
from tests.running import ROOT, own_database, own_folder, until


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, str]]]:
    """A database of the test's own, and the environment of the beats on it."""
    folder = own_folder("beat")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "MUSTER_DATA_DIR": str(folder),
        "CELERY_BROKER_URL": "pgmq://muster",
    }
    if url := os.environ.get("DATABASE_URL"):
        with own_database(url) as own:
            yield own, {**environment, "DATABASE_URL": own}
        return
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    with EmbeddedServer(folder, options={"shared_buffers": "16MB"}, durable=False, programs=programs) as running:
        yield running.url, environment


def start_beat(environment: dict[str, str], log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "celery", "--quiet", "--app=config.celery", "beat"]
    with log.open("wb") as file:
        return subprocess.Popen(
            leashed([*command, "--scheduler=config.beat:StandbyScheduler", "--pidfile="]),
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
        )


def sent(url: str) -> int:
    """Count the messages that beats have sent."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('pgmq.q_celery')").fetchone() == (None,):
            return 0
        return connection.execute("SELECT count(*) FROM pgmq.q_celery").fetchone()[0]


def test_a_second_beat_waits_and_takes_over_when_the_first_is_killed(site, tmp_path):
    url, environment = site
    first = start_beat(environment, tmp_path / "first")
    until(lambda: "this beat ticks" in (tmp_path / "first").read_text(), "the first beat ticks")
    until(lambda: sent(url) > 0, "it sends what is due")
    second = start_beat(environment, tmp_path / "second")
    try:
        until(lambda: "standby" in (tmp_path / "second").read_text(), "the second one waits")
        before = sent(url)
        until(lambda: sent(url) > before, "the first goes on")
        assert "this beat ticks" not in (tmp_path / "second").read_text()
        first.kill()
        first.wait()
        until(lambda: "this beat ticks" in (tmp_path / "second").read_text(), "the second one takes over")
        before = sent(url)
        until(lambda: sent(url) > before, "it sends what is due")
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


def test_a_beat_that_has_lost_its_connection_ends(site, tmp_path):
    url, environment = site
    beat = start_beat(environment, tmp_path / "log")
    try:
        until(lambda: sent(url) > 0, "the beat ticks")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        beat.wait(20)
        assert "the lock is lost" in (tmp_path / "log").read_text()
    finally:
        beat.kill()
        beat.wait()


def test_every_entry_of_the_clockwork_names_a_task():
    app.loader.import_default_modules()
    missing = set(CLOCKWORK) - set(app.tasks)
    assert not missing
    entries = beat_schedule(set(app.tasks))
    for name, seconds in CLOCKWORK.items():
        offered = min(seconds, OFFERED_EVERY_SECONDS)
        assert entries[name]["options"]["expires"] == offered == entries[name]["schedule"].total_seconds()


def test_beat_sends_nothing_that_no_worker_knows():
    assert beat_schedule({"segments.tasks.sweep"}).keys() == {"segments.tasks.sweep"}


def test_the_queues_tables_are_there_before_the_first_tick(site):
    url, _ = site
    assert broker.prepare(url) is True
