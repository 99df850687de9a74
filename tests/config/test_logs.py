"""The log: one JSON object a line, and no person in it (safety.md T5, T22)."""

import json
import logging
import subprocess
import sys
import time

import pytest
from django.test import RequestFactory
from django.urls import resolve

from config import logs
from config.supervisor import readable
from tests.running import ROOT


@pytest.mark.parametrize(
    "text",
    [
        "no such person: canary.person+tag@mail.example.com",
        "/p/x.gif?email=canary%40example.com&x=1",
        "call +49 170 canary or +49 170 1234567",
        "from 198.51.100.77",
        "from 2001:db8:85a3:0:0:8a2e:370:7334",
        "from 2001:db8:85a3::370:7334 and [2001:db8:85a3::370:7334]:443",
        "from ::ffff:198.51.100.77",
        'invalid input syntax for type uuid: "(canary)"\nLINE 1: ...',
        'value "(canary)" is out of range for type integer',
        "duplicate key\nDETAIL:  Key (value)=(canary) already exists.",
    ],
)
def test_what_names_a_person_is_taken_out(text):
    cleaned = logs.without_persons(text)
    for trace in ("canary.person", "canary%40", "1234567", ".77", "370:7334", "(canary)"):
        assert trace not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "worker celery@host ready",
        "2026-11-22T13:37:04.123456Z",
        "0192c0de-7000-7000-8000-000000000001",
        "run 12345678901 has 1000000 rows",
        "version 5.2.19",
        "at 12:34:56 and 12:34:56.789 from ::1 or 127.0.0.1:8000",
        "sha256:0123456789abcdef",
        'relation "audience_profile" does not exist',
        "config.celery:app",
    ],
)
def test_what_names_no_person_stays(text):
    assert logs.without_persons(text) == text


def test_each_line_is_one_object_whatever_is_logged():
    script = """
import logging, logging.config, structlog
from config import logs
logging.config.dictConfig(logs.configuration("INFO"))
logging.getLogger("django.request").error("Internal Server Error: %s", '/a\\nb\\r{"event": "forged"}')
structlog.get_logger("muster").info("fired", pixel="abc")
try:
    raise ValueError("canary@example.com is wrong")
except ValueError:
    logging.getLogger("muster").exception("failed")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines][1:] == ["fired", "failed"]
    assert lines[0]["level"] == "error"
    assert "forged" in lines[0]["event"]
    assert "ValueError" in lines[2]["exception"]
    assert "canary" not in done.stderr


@pytest.mark.spec("T20")
@pytest.mark.parametrize("unit", ["a", "a@", "+1", "1.", "a:", ': "', "\n", " ", "%40", "1 ", "DETAIL:"])
def test_no_text_keeps_the_log_busy(unit):
    began = time.monotonic()
    logs.without_persons(unit * (100_000 // len(unit)))
    assert time.monotonic() - began < 1


def test_what_is_no_text_is_cleaned_too():
    event = {
        "event": "x",
        "rows": 3,
        "error": ValueError("canary@example.com"),
        "seen": [{"canary@example.com": 1.5}],
    }
    cleaned = logs.drop_persons(None, "info", event)
    assert cleaned == {"event": "x", "rows": 3, "error": "[email]", "seen": [{"[email]": 1.5}]}


def test_a_failed_request_is_named_by_its_route():
    request = RequestFactory().get("/admin/canary/?q=canary")
    request.resolver_match = resolve("/admin/password_change/")
    record = logging.makeLogRecord(
        {"name": "django.request", "msg": "Forbidden (%s): %s", "args": ("canary", "/canary"), "request": request}
    )
    assert logs.WithoutPath().filter(record)
    assert record.getMessage() == "Forbidden: admin/password_change/"
    request.resolver_match = None
    assert logs.WithoutPath().filter(record)
    assert record.getMessage() == "Forbidden: an unknown address"


@pytest.mark.parametrize(
    "line", ["plain words", "Traceback canary@example.com", '["a list"]', '{"no": "event"}', "{"]
)
def test_each_line_of_a_program_becomes_one_object(line):
    kept = json.loads(logs.wrapped("door", line))
    assert (kept["logger"], kept["event"]) == ("door", line.replace("canary@example.com", "[email]"))
    assert logs.wrapped("door", json.dumps(kept)) == json.dumps(kept)


def test_at_a_terminal_people_read_it():
    script = """
import logging.config, structlog
from config import logs
logging.config.dictConfig(logs.configuration("INFO", is_terminal=True))
structlog.get_logger("muster").info("fired", pixel="abc", who="canary@example.com")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fired" in done.stderr
    assert "{" not in done.stderr
    assert "canary" not in done.stderr


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"event": "ready", "level": "info", "timestamp": "x", "logger": "y", "rows": 3}', "ready rows=3"),
        ('{"event": "failed", "level": "error", "exception": "Traceback"}', "ERROR: failed\nTraceback"),
        ("plain words", "plain words"),
        ('{"other": 1}', '{"other": 1}'),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_people_read_a_sentence(line, text):
    assert readable(line) == text
