"""What Prometheus reads: who may, what is in it, and that counting never stands in the way of the work."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audience.metrics import FOLDER_VARIABLE
from config import environment, metrics
from tests.factories import make_advertiser, make_member, make_segment
from tests.running import ROOT, free_ports

TOKEN = "a-token-of-at-least-thirty-two-letters"


@pytest.fixture
def token(settings):
    settings.MUSTER_METRICS_TOKEN = TOKEN


def ask(authorization: str = f"Bearer {TOKEN}"):
    return Client().get("/metrics", headers={"authorization": authorization})


def figures() -> dict[tuple, float]:
    """Return every figure by its name and labels."""
    return samples(ask().content.decode())


def samples(text: str) -> dict[tuple, float]:
    families = text_string_to_metric_families(text)
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def execute(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_without_a_token_in_the_settings_there_is_no_such_page():
    assert ask("Bearer ").status_code == ask().status_code == 404


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_a_wrong_token_sees_nothing(token, authorization):
    answer = ask(authorization)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"muster_" not in answer.content


def test_a_token_that_can_be_guessed_stops_the_start():
    assert environment.token("", "MUSTER_METRICS_TOKEN") == ""
    assert environment.token(TOKEN, "MUSTER_METRICS_TOKEN") == TOKEN
    with pytest.raises(ImproperlyConfigured, match="MUSTER_METRICS_TOKEN is too short"):
        environment.token("secret", "MUSTER_METRICS_TOKEN")


@pytest.mark.django_db
def test_what_stands_in_rows_is_looked_up(token):
    segment = make_segment(make_advertiser())
    make_member(segment, starts_at=timezone.now() - timedelta(hours=3), lifetime=timedelta(hours=1))
    make_member(segment, starts_at=timezone.now(), lifetime=timedelta(hours=1))
    execute("INSERT INTO config_heartbeat VALUES ('beat', 'box', 7, now(), now() - interval '20 seconds')")
    execute("INSERT INTO config_timedtask VALUES ('x.y', now() - interval '1 hour', 1, now(), 'OSError')")
    execute(
        "INSERT INTO pixels_firedelta (hour, outcome, reason, fires, page_host, page_path, last_at)"
        " SELECT now(), 'applied', '', 1, '', '', now() - interval '90 seconds' FROM generate_series(1, 3)"
    )
    found = figures()
    assert found["muster_database_up",] == 1
    assert found["muster_sweeper_lateness_seconds",] == pytest.approx(7200, abs=60)
    assert found["muster_unmerged_deltas", "pixels_firedelta"] == 3
    assert found["muster_oldest_delta_seconds",] == pytest.approx(90, abs=30)
    assert found["muster_heartbeat_seconds", "beat", "box"] == pytest.approx(20, abs=15)
    assert found["muster_timed_task_seconds", "x.y"] == pytest.approx(3600, abs=60)
    assert found["muster_timed_task_failing", "x.y"] == 1
    assert found["muster_runs", "queued"] == found["muster_runs", "stalled"] == 0
    assert found["muster_partition_headroom_seconds", "pixels_fire"] > 10 * 86_400
    assert found["muster_partition_default_rows", "pixels_fire"] == 0
    assert found["muster_disk_free_bytes", "data"] > 0


def test_with_the_database_away_the_rest_is_told(token, django_db_blocker):
    default = connections["default"]
    before = default.settings_dict
    with django_db_blocker.unblock():
        default.close()
        (port,) = free_ports(1)
        default.settings_dict = {**before, "OPTIONS": {}, "HOST": "127.0.0.1", "PORT": port}
        try:
            found = figures()
        finally:
            default.close()
            default.settings_dict = before
    assert found["muster_database_up",] == 0
    assert ("muster_sweeper_lateness_seconds",) not in found
    assert found["muster_data_folder_up",] == 1
    assert ("muster_batch_fires_count",) in found


@pytest.mark.django_db
def test_with_the_broker_away_the_rest_is_told(token, monkeypatch):
    monkeypatch.setattr("celery.current_app.conf.broker_read_url", f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    found = figures()
    assert (found["muster_broker_up",], found["muster_database_up",]) == (0, 1)


COUNT = """
import os, signal, sys
from audience import metrics
metrics.count_batch({("applied", ""): 3, ("rejected", "empty"): 1}, facts=4, commit_seconds=0.004)
metrics.count_refused("spool_full", 2)
metrics.count_answers({200: 4, 503: 2})
metrics.set_queue(5)
metrics.set_spool(held_bytes=100, oldest_seconds=float(sys.argv[1]))
metrics.count_spool(written=3, replayed=2, damaged=1)
metrics.count_run("failed", "auth_failed")
metrics.count_delivery(rows=10, sent_bytes=1000, seconds=3)
metrics.observe_task("segments.tasks.sweep", "done", 0.02)
print("counted", flush=True)
signal.pause()
"""


def counting(folder: Path, *words: str) -> subprocess.Popen:
    """Start a process that counts something and stays."""
    environment = {**os.environ, FOLDER_VARIABLE: str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "counted\n"
    return process


def test_the_numbers_of_all_processes_are_added_up_and_the_queues_of_dead_ones_forgotten(
    token, tmp_path, monkeypatch, django_db_blocker
):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(metrics, "DATABASE", [])
    one, other = counting(tmp_path, "30"), counting(tmp_path, "70")
    try:
        found = figures()
        assert found["muster_fires_total", "", "applied"] == 6
        assert found["muster_fires_total", "empty", "rejected"] == 2
        assert found["muster_batch_fires_sum",] == 8
        assert found["muster_commit_seconds_bucket", "0.005"] == 2
        assert found["muster_fires_refused_total", "spool_full"] == 4
        assert found["muster_door_answers_total", "503"] == 4
        assert found["muster_door_queue_fires",] == 10
        assert (found["muster_spool_bytes",], found["muster_spool_oldest_seconds",]) == (200, 70)
        assert found["muster_spool_records_total", "replayed"] == 4
        assert found["muster_export_runs_total", "auth_failed", "failed"] == 2
        assert (found["muster_export_rows_total",], found["muster_export_bytes_total",]) == (20, 2000)
        assert found["muster_task_seconds_count", "done", "segments.tasks.sweep"] == 2
        other.send_signal(signal.SIGKILL)
        other.wait()
        found = figures()
        assert found["muster_fires_total", "", "applied"] == 6
        assert (found["muster_door_queue_fires",], found["muster_spool_oldest_seconds",]) == (5, 30)
    finally:
        for process in (one, other):
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_files_have_their_blocks_before_the_disk_is_full(tmp_path):
    """A write through a map into a hole would kill the door there."""
    process = counting(tmp_path, "0")
    try:
        files = list(tmp_path.glob("*.db"))
        assert len(files) == 4
        assert [file for file in files if file.stat().st_blocks * 512 < file.stat().st_size] == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_that_cannot_share_its_numbers_works_all_the_same(tmp_path):
    process = counting(tmp_path / "gone", "0")
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "gone").exists()


def test_each_start_of_the_group_begins_with_an_empty_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    folder = metrics.make_folder()
    (folder / "counter_1.db").touch()
    assert metrics.make_folder() == folder == tmp_path / "metrics"
    assert (list(folder.iterdir()), folder.stat().st_mode & 0o777) == ([], 0o700)
