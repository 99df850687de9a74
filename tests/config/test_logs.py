"""The log: one JSON object a line, and no person in it (safety.md T5, T22)."""

import json
import subprocess
import sys

import pytest

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
    ],
)
def test_what_names_no_person_stays(text):
    assert logs.without_persons(text) == text


def test_each_line_is_one_object_whatever_is_logged():
    script = """
import logging, logging.config, structlog
from config import logs
logging.config.dictConfig(logs.configuration("INFO"))
logging.getLogger("django.request").warning("Not Found: %s", '/a\\nb\\r{"event": "forged"}')
structlog.get_logger("muster").info("fired", pixel="abc")
try:
    raise ValueError("canary@example.com is wrong")
except ValueError:
    logging.getLogger("muster").exception("failed")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines][1:] == ["fired", "failed"]
    assert lines[0]["level"] == "warning"
    assert "forged" in lines[0]["event"]
    assert "ValueError" in lines[2]["exception"]
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
