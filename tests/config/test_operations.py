"""docs/operations.md says what is there: every figure, every fault, every command and setting."""

import re

from django.core.management import get_commands
from prometheus_client import REGISTRY

from config import metrics
from config.management.commands import up
from tests.running import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()


def test_every_figure_has_its_row():
    counted = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("muster_")}
    read = {row[0] for row in (*metrics.DATABASE, *metrics.BROKER, *metrics.DISK)}
    up = {"muster_database_up", "muster_broker_up", "muster_data_folder_up"}
    first_cells = re.findall(r"^\| (`muster_[^|]+)\|", PAGE, re.MULTILINE)
    told = {name.removesuffix("_total") for name in re.findall(r"`(muster_\w+)", "".join(first_cells))}

    assert told == counted | read | up


def test_every_fault_is_named():
    source = (ROOT / "config/health.py").read_text()
    codes = set(re.findall(r'Fault\(\s*"(\w+)"', source))

    assert codes <= set(re.findall(r"`(\w+)`", PAGE))


def test_every_command_and_setting_exists():
    known = set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config/settings.py").read_text()))

    assert set(re.findall(r"manage\.py (\w+)", PAGE)) <= set(get_commands())
    assert set(re.findall(r"\b((?:MUSTER|EXPORT|DELIVERY|CELERY)_[A-Z_]+)\b", PAGE)) <= known


def test_the_programs_are_those_of_up():
    """Each by itself does as under `up`, but for addresses and numbers."""
    told = {
        line.split("|")[1].strip(): line
        for line in PAGE.splitlines()
        if re.match(r"\| \w+ \| `(?:gunicorn|granian|celery)", line)
    }

    assert told.keys() == {program.name for program in up.programs()}
    for program in up.programs():
        for word in program.command[2:]:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in ("--quiet", "--log-level", "--respawn-interval"):
                assert name in told[program.name], program.name


def test_links_lead_to_files_and_headings():
    headings = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE)
    files = {link.partition("#")[0] for link in links} - {""}

    assert [file for file in files if not (ROOT / "docs" / file).exists()] == []
    assert {link[1:] for link in links if link.startswith("#")} <= headings
