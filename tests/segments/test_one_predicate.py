"""Nobody reads memberships without the predicate of `segments.membership`: the source says so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.running import ROOT

pytestmark = pytest.mark.spec("R7")

ROOMS = ("audience", "segments", "pixels", "exports", "config")
TABLE = re.compile(r"\bsegments_(account)?membership\b")
MODELS = {"Membership", "AccountMembership", "MEMBERSHIPS"}
MANAGERS = {"objects", "all_advertisers", "_default_manager", "_base_manager"}
PREDICATES = {"HOLDS_SQL", "HOLDS_OF_ACTIVE_VERSION_SQL", "holds"}
# They do not ask who is in.
OTHERS = {
    ("segments/changes.py", "_READ"): "reads the rows that it decides about, markers among them",
    ("segments/changes.py", "_WRITE"): "writes",
    ("segments/renewals.py", "_RENEW"): "writes, where the row holds at the fact's instant",
    ("segments/renewals.py", "_LOCK"): "locks",
    ("segments/merging.py", "_READ"): "reads the rows that it moves, markers among them",
    ("segments/merging.py", "_DROP"): "deletes",
    ("segments/withdrawal.py", "_READ"): "reads the rows that it ends, markers among them",
    ("segments/sweeper.py", "_LOCK_DUE"): "finds what time has ended",
    ("segments/sweeper.py", "_PUBLISH"): "publishes what time has ended",
    ("segments/sweeper.py", "_DUE_OF_SEGMENT"): "finds what time has ended",
    ("segments/tables.py", "_NAMES"): "names both tables",
    ("segments/evaluation.py", "_BRING_PROFILES"): "reads the rows that it decides about, and writes",
    ("segments/versions.py", "_SWITCH"): "compares two versions by the same predicate, and writes",
    ("segments/rules/compiling/others.py", "_row"): "reads the interval itself, for the timeline of another rule",
    ("segments/versions.py", "_PAUSE"): "takes back what time would bring",
    ("segments/building.py", "drop_superseded"): "deletes",
    ("segments/building.py", "_KNOWN_ROWS"): "asks what PostgreSQL knows of the table",
    ("segments/building.py", "_look_at_members"): "lets PostgreSQL count the rows",
    ("segments/freshness.py", "_OLDEST_DUE"): "finds what time has changed and nobody has published",
    ("segments/freshness.py", "_NEXT_CHANGE"): "finds what time changes next",
    ("segments/outlook.py", "_AHEAD"): "tells what comes after a transition, from the interval itself",
    ("segments/counts.py", "_OVERDUE_SQL"): "counts what time has changed and nobody has published",
    ("segments/retention.py", "_PASSERS_BY"): "keeps whoever has a row that is not over, one that is to begin too",
    ("segments/retention.py", "_FORGET"): "deletes",
    ("config/readings.py", "sweeper_lateness"): "asks for the oldest change that nobody has published",
}


class Place(NamedTuple):
    """A function or constant that names the table or its model, and whether it names the predicate, too."""

    name: str
    has_predicate: bool


def places(source: str) -> Iterator[Place]:
    """Yield what touches memberships in a module: each function, method and constant for itself."""
    for statement in _statements(ast.parse(source)):
        nodes = list(ast.walk(statement))
        if any(_touches(node) for node in nodes):
            named = {node.id for node in nodes if isinstance(node, ast.Name)}
            yield Place(_name(statement), bool(named & PREDICATES))


def _statements(tree: ast.Module | ast.ClassDef) -> Iterator[ast.stmt]:
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            yield from _statements(statement)
        else:
            yield statement


def _touches(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(TABLE.search(node.value))
    is_manager = isinstance(node, ast.Attribute) and node.attr in MANAGERS
    if not is_manager:
        return False
    model = node.value.value if isinstance(node.value, ast.Subscript) else node.value
    return isinstance(model, ast.Name) and model.id in MODELS


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return statement.name
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return target.id if isinstance(target, ast.Name) else f"line {statement.lineno}"


def modules() -> Iterator[Path]:
    for room in ROOMS:
        yield from (path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)


def test_whoever_reads_memberships_asks_the_predicate():
    found = {(str(path.relative_to(ROOT)), place) for path in modules() for place in places(path.read_text())}
    without = {(path, place.name) for path, place in found if not place.has_predicate}
    assert without == set(OTHERS)
    assert len(found - without) >= 5


def test_the_table_has_no_other_way_in():
    """Neither does a relation lead to its rows, nor has somebody taken its model under another name."""
    alias = re.compile(r"\bMembership as \w+|[\"']Membership[\"']\)|related_name=\"memberships?\"|\bmembership__")
    assert [str(path) for path in modules() if alias.search(path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        'COUNT = "SELECT count(*) FROM segments_membership"',
        'COUNT: str = f"SELECT count(*) FROM segments_membership WHERE {OTHER}"',
        "def read(segment):\n    return Membership.objects.filter(segment=segment)",
        "def read(of):\n    return list(MEMBERSHIPS[of].objects.all())",
        "class Reader:\n    def read(self):\n        return list(Membership.all_advertisers.all())",
    ],
)
def test_a_reader_without_it_is_found(source):
    assert [place.has_predicate for place in places(source)] == [False]


def test_a_reader_with_it_passes():
    source = "def read(segment, at):\n    return Membership.objects.filter(holds(at), segment=segment)"
    assert [place.has_predicate for place in places(source)] == [True]
    assert [place.has_predicate for place in places('COUNT = f"FROM segments_membership m WHERE {HOLDS_SQL}"')] == [
        True
    ]
