"""The System page: who sees it, and that each trouble has its line with what to do."""

import shutil
from collections import namedtuple
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from audience.models import Role
from config import system
from config.celery import app
from tests.admins import at_work, make_user, sign_in
from tests.exports.scene import make_scene
from tests.factories import make_advertiser, make_member, make_segment
from tests.running import free_ports

pytestmark = pytest.mark.django_db

ALIVE = """
    INSERT INTO config_heartbeat
    SELECT program, 'box', 7, now(), now() FROM unnest(ARRAY['celery', 'exports', 'beat']) AS program
"""


@pytest.fixture
def operator() -> Client:
    return sign_in(make_user(is_superuser=True))


@pytest.fixture(autouse=True)
def nobody_listens(settings):
    settings.MUSTER_PIXEL_BIND = f"127.0.0.1:{free_ports(1)[0]}"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def found(title: str) -> tuple[str, str, str]:
    """Return what the page says in one line: state, figure, sentence."""
    (line,) = (line for line in system.lines() if line.title == title)
    return line.state.label, line.figure, line.sentence


def test_the_operator_opens_it_from_the_menu(operator):
    make_advertiser()
    page = operator.get("/admin/system/")
    assert page.status_code == 200
    body = page.content.decode()
    assert "Database" in [line.title for line in page.context["lines"]]
    for name, version in page.context["versions"]:
        assert name in body
        assert version in body
    titles = [item["title"] for group in page.context["sidebar_navigation"] for item in group["items"]]
    assert "System" in titles


def test_it_is_there_before_the_first_advertiser(operator):
    assert operator.get("/admin/system/").status_code == 200


def test_an_owner_neither_sees_nor_opens_it():
    owner = at_work(make_advertiser(), Role.OWNER)
    assert owner.get("/admin/system/").status_code == 403
    groups = owner.get("/admin/").context["sidebar_navigation"]
    assert "System" not in [item["title"] for group in groups for item in group["items"]]
    assert Client().get("/admin/system/").status_code == 302


def test_a_sound_installation_is_fine():
    execute(ALIVE)
    states = {line.title: line.state.label for line in system.lines()}
    shaky = {"Door", "Disk", "Installation"}  # not there, or this machine's own affair
    assert {title: state for title, state in states.items() if title not in shaky and state != "fine"} == {}
    assert {"Database", "Worker", "Exporter", "Beat", "Sweeper", "Counts", "Queues", "Partitions"} <= set(states)


@pytest.mark.parametrize(
    ("statements", "title", "state", "figure", "sentence"),
    [
        ([], "Worker", "broken", "never heard of", "Nobody publishes leaves"),
        ([], "Exporter", "broken", "never heard of", "Nobody writes and sends files"),
        ([], "Beat", "broken", "never heard of", "Nothing is started by time"),
        (
            [ALIVE, "UPDATE config_heartbeat SET beat_at = now() - interval '2 hours' WHERE program = 'beat'"],
            "Beat",
            "broken",
            "last heard of 2 hours ago",
            "Start it",
        ),
        (
            [ALIVE, "INSERT INTO config_heartbeat VALUES ('celery', 'old', 7, now(), now() - interval '1 hour')"],
            "Worker",
            "look here",
            "silent on old",
            "missing on a machine",
        ),
        (
            [
                "INSERT INTO pixels_firedelta (hour, outcome, reason, fires, page_host, page_path, last_at)"
                " VALUES (now(), 'applied', '', 1, '', '', now() - interval '2 minutes')"
            ],
            "Counts",
            "look here",
            "1 row behind, the oldest from 2 minutes ago",
            "numbers are right",
        ),
        (
            ["INSERT INTO pixels_eventid VALUES (gen_random_uuid(), now() - interval '300 days')"],
            "Partitions",
            "look here",
            "1 row in DEFAULT",
            "within the hour",
        ),
        (
            ["INSERT INTO config_timedtask VALUES ('segments.tasks.check_counts', NULL, 1, now(), 'OSError')"],
            "Housekeeping",
            "broken",
            "segments.tasks.check_counts (OSError)",
            "tried again every five minutes",
        ),
        (
            [
                "INSERT INTO config_timedtask"
                " VALUES ('pixels.tasks.forget_pages', now() - interval '3 hours', 1, NULL, '')"
            ],
            "Housekeeping",
            "look here",
            "pixels.tasks.forget_pages",
            "too long",
        ),
        ([], "Door", "broken", "not known", "does not answer"),
    ],
)
def test_each_trouble_has_its_line(statements, title, state, figure, sentence):
    for statement in statements:
        execute(statement)
    line = found(title)
    assert line[0] == state
    assert figure in line[1]
    assert sentence in line[2]


@pytest.mark.parametrize(("hours", "state"), [(0.001, "fine"), (0.05, "look here"), (3, "broken")])
def test_a_late_sweeper(hours, state):
    lifetime = timedelta(hours=1)
    make_member(
        make_segment(make_advertiser()),
        starts_at=timezone.now() - lifetime - timedelta(hours=hours),
        lifetime=lifetime,
    )
    assert found("Sweeper")[0] == state


def test_deltas_that_nobody_merges():
    segment = make_segment(make_advertiser())
    execute(
        "INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,"
        f" monthly_uniques) SELECT {segment.advertiser_id}, {segment.pk}, now(), 1, 0, 0, 0, 0"
        " FROM generate_series(1, 100001)"
    )
    assert found("Counts")[:2] == ("look here", "more than 100,000 rows behind")


@pytest.mark.parametrize(("days", "state"), [(0, "fine"), (6, "look here"), (9, "broken")])
def test_partitions_that_nobody_makes(days, state, time_machine):
    time_machine.move_to(timezone.now() + timedelta(days=days))
    assert found("Partitions")[0] == state


@pytest.mark.parametrize(
    ("fields", "state", "figure"),
    [
        ({"state": "delivered"}, "fine", "0 under way · 0 waiting"),
        ({"state": "waiting"}, "fine", "0 under way · 1 waiting"),
        ({"state": "failed", "ended_at": "now"}, "look here", "1 failed"),
        ({"state": "writing", "lease_ends_at": "now"}, "look here", "1 without a worker"),
    ],
)
def test_runs(fields, state, figure, tmp_path):
    scene = make_scene(tmp_path)
    export = scene.export(scene.folder_destination(), scene.segment())
    just_now = timezone.now() - timedelta(minutes=1)
    run = scene.start(export)
    type(run).all_advertisers.filter(pk=run.pk).update(
        **{name: just_now if value == "now" else value for name, value in fields.items()}
    )
    line = found("Exports")
    assert (line[0], figure in line[1]) == (state, True)


@pytest.mark.parametrize(("free", "state"), [(50, "fine"), (10, "look here"), (2, "broken")])
def test_a_disk_that_fills_up(free, state, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100 - free, free))
    assert found("Disk")[0] == state


def test_a_broker_that_is_away_takes_no_other_line_with_it(monkeypatch, operator):
    monkeypatch.setattr(app.conf, "broker_read_url", f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    state, figure, sentence = found("Queues")
    assert (state, figure) == ("broken", "not known")
    assert "CELERY_BROKER_URL" in sentence
    assert operator.get("/admin/system/").status_code == 200
