"""The README says what is there: every setting, every folder, every page and picture."""

import re

import pytest

from tests.running import ROOT

README = (ROOT / "README.md").read_text()


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_table_has_every_setting_that_is_read_from_the_environment():
    source = (ROOT / "config/settings.py").read_text()
    read = re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', source)
    told = re.findall(r"^\| `([A-Z_]+)` \|[^|]+\|[^|]+\|$", section("Settings"), re.MULTILINE)

    assert told == list(dict.fromkeys(read)), "in the order of config/settings.py"


def test_every_setting_in_the_text_exists():
    read = re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config/settings.py").read_text())
    named = set(re.findall(r"\b((?:MUSTER|EXPORT|DELIVERY|CELERY|EMAIL)_[A-Z_]+)\b", README))

    assert named <= set(read)


def test_the_map_names_every_folder_of_the_source():
    told = set(re.findall(r"^\| `(\w+)/` \|", section("Where things are"), re.MULTILINE))
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}

    assert told == there - {"staticfiles", "node_modules"}


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("target", ["up", "test", "bench"])
def test_make_has_what_the_readme_calls(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
