"""What is wrong with an installation is said aloud, one fault at a time (safety.md S3)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client

from config import health
from config.postgres import EmbeddedServer
from config.settings import env
from tests.running import own_folder

pytestmark = pytest.mark.spec("S3")


@pytest.fixture
def point_at(django_db_blocker) -> Iterator:
    """Point Django's connection at another server for the length of a test."""
    default = connections["default"]
    before = default.settings_dict

    def point(url: str) -> None:
        default.close()
        default.settings_dict = {**before, "OPTIONS": {}, **env.db_url_config(url)}

    with django_db_blocker.unblock():
        yield point
        default.close()
        default.settings_dict = before


def server(**options: str) -> EmbeddedServer:
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    return EmbeddedServer(own_folder("health"), options={"shared_buffers": "16MB", **options}, programs=programs)


def ready() -> tuple[int, list[str]]:
    answer = Client().get("/health/ready")
    return answer.status_code, answer.json()["faults"]


def test_a_sound_installation_is_ready(point_at):
    with server() as sound:
        point_at(sound.url)
        assert ready() == (200, [])


@pytest.mark.parametrize(
    ("options", "code"),
    [({"fsync": "off"}, "fsync_off"), ({"full_page_writes": "off"}, "full_page_writes_off")],
)
def test_a_server_that_may_lose_data_is_not_ready(point_at, options, code):
    with server(**options) as unsafe:
        point_at(unsafe.url)
        assert ready() == (503, [code])


def test_a_server_that_is_away_is_not_ready(point_at):
    with server() as running:
        url = running.url
    point_at(url)
    assert ready() == (503, ["database_away"])


def test_an_old_server_is_not_ready(point_at, monkeypatch):
    monkeypatch.setattr(health, "OLDEST_POSTGRES", 99)
    with server() as old:
        point_at(old.url)
        assert ready() == (503, ["server_too_old"])
        assert "needs 99 or newer" in health.faults()[0].sentence


@pytest.mark.parametrize("off_by", [-60, 60])
def test_clocks_that_differ_are_not_ready(point_at, monkeypatch, off_by):
    real = health.time.time
    with server() as running:
        point_at(running.url)
        monkeypatch.setattr(health.time, "time", lambda: real() + off_by)
        assert ready() == (503, ["clocks_differ"])


@pytest.mark.django_db
def test_keys_that_others_can_read_are_not_ready(settings, tmp_path):
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys").chmod(0o755)
    settings.DATA_DIR = tmp_path
    assert "keys_open" in ready()[1]
    (tmp_path / "keys").chmod(0o700)
    assert "keys_open" not in ready()[1]


@pytest.mark.django_db
def test_a_data_folder_that_cannot_be_written_is_not_ready(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "missing"
    assert "data_folder_not_writable" in ready()[1]


def test_a_process_is_alive_without_a_database():
    answer = Client().get("/health/live")
    assert answer.status_code == 200


def test_the_answer_names_no_secret(point_at):
    with server() as running:
        url = running.url
    point_at(url)
    text = Client().get("/health/ready").content.decode()
    assert "postgres" not in text.lower()
    assert os.fspath(settings.DATA_DIR) not in text
