"""Our templates hold no script, no handler and no style of their own, and nothing trusts a text (T4, T26, S12)."""

import re
from pathlib import Path

import pytest

from tests.running import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
MAILED = ROOT / "templates" / "pixels" / "mail"
SOURCES = [
    path for room in ("audience", "segments", "pixels", "exports", "config") for path in (ROOT / room).rglob("*.py")
]

pytestmark = [pytest.mark.spec("T26")]


def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 20


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_brings_no_script_handler_or_style(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "a script belongs into a static file"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), "a handler belongs into a static file"
    assert not re.search(r"\sstyle\s*=", text), "a style belongs into the style sheet"
    assert "javascript:" not in text
    assert "|safe" not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text), "nothing is loaded from elsewhere"
    if not path.is_relative_to(MAILED):  # the tag itself, which `pixels.tags` has escaped
        assert "autoescape off" not in text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_is_marked_as_safe(path: Path) -> None:
    assert not re.search(r"\bmark_safe\b|SafeString\(", path.read_text())


def test_format_html_gets_arguments_only() -> None:
    """Its first argument is written here: a text that was put together before is never escaped."""
    for path in SOURCES:
        for call in re.findall(r"format_html\(\s*(.)", path.read_text()):
            assert call != "f", f"{path}: format_html of an f-string"
