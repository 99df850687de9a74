"""Whatever a person types into a rule, PostgreSQL takes it as a value: it is in no text of SQL, and stops nothing."""

import json
import re

import pytest
from django.db import connection

from segments.actual import fact_of
from segments.rules.compiling.unread import unread
from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import StoredSegment, Surroundings, compile_rule, scene_of, values_of
from tests.factories import NOON, make_advertiser
from tests.segments.rules.database import ask
from tests.segments.rules.facts import Attribute, Event, Person, events
from tests.segments.rules.stored import put

pytestmark = pytest.mark.django_db

HOSTILE = [
    "x'; DROP TABLE audience_event; --",
    "%s",
    "100% %(x)s %%",
    "{x} {} {0}",
    'a"b\\"c\\',
    "\\'; SELECT pg_sleep(9); --",
    "$1 $$ $x$",
    "a\0b",
    "/* */ ]] } ::uuid[]",
    "*?_%",
    "ｘ’; －－",
]
# Every place where a person types; TEXT is what they type.
RULES = {
    "event": {"event": "TEXT"},
    "events": {"event": ["view", "TEXT"]},
    "property": {"event": "view", "where": [{"property": ["TEXT", "TEXT"], "equals": 1}]},
    "property of each": {"event": "view", "where": [{"property": ["TEXT", "[]", "TEXT"], "equals": 1}]},
    "parameter of a page": {"event": "view", "where": [{"context": "page.query.TEXT", "known": True}]},
    "sum": {"event": "view", "sum": {"of": ["TEXT"], "at_least": 1}},
    "max": {"event": "view", "max": {"of": ["TEXT"], "at_least": 1}},
    "distinct": {"event": "view", "distinct": {"of": ["TEXT"], "at_least": 1}},
    "same": {"sequence": [{"event": "view"}, {"event": "TEXT"}], "same": [["TEXT"]]},
    "without": {"sequence": [{"event": "view"}, {"event": "view", "without": {"event": "TEXT"}}]},
    "change": {
        "change": "TEXT", "sum": ["TEXT"], "from": {"within": "1d"}, "to": {"within": "2d"}, "at_least": 1
    },
    "favourite": {"favourite": ["TEXT"], "event": "TEXT", "by": {"sum": ["TEXT"]}, "equals": "TEXT"},
    "attribute": {"attribute": ["TEXT"], "equals": "TEXT", "for_at_least": "1d"},
    "items": {"items": ["TEXT"], "where": [{"property": ["TEXT"], "equals": "TEXT"}]},
    "numbers of items": {
        "items": ["TEXT"], "where": [{"property": ["TEXT"], "at_least": 1}], "sum": {"of": ["TEXT"], "at_least": 1}
    },
    "partner": {"identity": "partner:TEXT", "equals": "TEXT"},
    "purpose": {"consent": "TEXT", "equals": "granted"},
    "situation": {"situation": "page.query.TEXT", "equals": "TEXT"},
    "salt": {"bucket": [0, 50], "salt": "TEXT"},
    "segment": {"segment": "TEXT", "in": True},
    "who": {"account": {"attribute": ["TEXT"], "equals": "TEXT"}},
}  # fmt: skip
TESTS = [
    "equals", "not_equals", "contains", "not_contains", "starts_with", "ends_with", "like", "not_like", "matches",
    "not_matches",
]  # fmt: skip
LIST_TESTS = ["one_of", "none_of", "contains_any", "includes_any", "includes_all", "includes_none"]


def typed(rule, hostile):
    """Return the rule with what somebody typed in it; None where it is refused at once."""

    def put_in(value):
        if isinstance(value, dict):
            return {key: put_in(part) for key, part in value.items()}
        if isinstance(value, list):
            return [put_in(part) for part in value]
        return value.replace("TEXT", hostile) if isinstance(value, str) else value

    try:
        return read(json.dumps({"muster_rule": 1, "of": "profile", "rule": put_in(rule)})).rule
    except RuleRefused:
        return None


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_harmless_word_is_no_refusal(rule):
    assert typed(rule, "word") is not None


@pytest.fixture
def somebody():
    person = Person(events=events("v@05-01 10:00"), attributes={"plan": Attribute("gold", NOON)})
    put(person, make_advertiser())
    return person


def pieces(rule, around):
    """Return all SQL that is made of a rule: of who is in, of what cannot be read, and of what is the case."""
    scene = scene_of(rule, around)
    facts = fact_of(rule.root, scene)
    return [compile_rule(rule, around).expression, *unread(rule.root, scene).values(), *([facts] if facts else [])]


def check(source, hostile, somebody):
    """The text of the SQL is the one for a harmless word, and it runs."""
    rule = typed(source, hostile)
    if rule is None:
        return  # refused when it is read, as a pattern or a name that nothing can have
    around = Surroundings(segments={hostile: StoredSegment(1, 1), "word": StoredSegment(1, 1)}, key=hostile)
    ask(rule, somebody.id, NOON, around)
    with connection.cursor() as cursor:
        for piece, harmless in zip(pieces(rule, around), pieces(typed(source, "word"), around), strict=True):
            assert piece.text == harmless.text
            assert re.findall("%(?!s)", piece.text) == []
            assert piece.text.count("%s") == len(piece.values)
            statement = f"SELECT {piece.text} FROM (SELECT %s::uuid) s(profile_id)"
            cursor.execute(statement, [*values_of(piece, NOON), somebody.id])
        cursor.execute("SELECT count(*) FROM audience_event")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_names_and_values_are_values(rule, hostile, somebody):
    check(rule, hostile, somebody)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("test", [*TESTS, *LIST_TESTS])
def test_operands_are_values(test, hostile, somebody):
    operand = ["TEXT", "x"] if test in LIST_TESTS else "TEXT"
    check({"attribute": "plan", test: operand, "case": "exact"}, hostile, somebody)
    check({"attribute": "plan", test: operand}, hostile, somebody)


@pytest.mark.parametrize("hostile", [hostile for hostile in HOSTILE if "\0" not in hostile])
def test_it_is_found_as_it_was_typed(hostile):
    person = Person(events=(Event(hostile, NOON, {hostile: hostile, "other": f"a{hostile}z"}),))
    put(person, make_advertiser())
    for test, name, operand in (
        ("equals", hostile, hostile),
        ("one_of", hostile, ["x", hostile]),
        ("contains", "other", hostile),
        ("contains_any", "other", ["x y", hostile]),
        ("starts_with", "other", f"a{hostile}"),
        ("ends_with", "other", f"{hostile}z"),
        ("like", "other", "a*z"),
    ):
        rule = typed({"event": hostile, "where": [{"property": [name], test: operand}]}, "")
        assert ask(rule, person.id, NOON) == [(NOON, None)], test
        other = typed({"event": hostile, "where": [{"property": [name], test: _other(operand)}]}, "")
        assert ask(other, person.id, NOON) == [], test


def _other(operand):
    return [f"{one}!" for one in operand] if isinstance(operand, list) else f"{operand}!"


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "((a{1,99}){1,99}){1,99}", "(\\w{1,99}){1,99}", "a{255}", "\\$1%s'", "[%s]"]
)
def test_a_regular_expression_stops_nobody(pattern):
    person = Person(attributes={"plan": Attribute("a" * 1900 + "b", NOON)})
    put(person, make_advertiser())
    rule = typed({"attribute": "plan", "matches": pattern}, "")
    if rule is not None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '5s'")
        ask(rule, person.id, NOON)


VALUES = [
    10**4000, "9" * 1000, "9" * 2000, 1e300, -0.0, "1e5", "-", "", " ", True, None, {}, {"a": [1]}, [], [[[]]],
    [None], ["x", 1, None, {"y": 2}], "2026-02-30", "2026-02-29", "2026-13-01", "0000-01-01", "0001-01-01",
    "9999-12-31", "2026-05-01T25:00:00Z", "2026-05-01T10:00:00+14:59", "0001-01-01T00:00:00+14:00",
    "2026-05-01T10:00:00.5Z", "1.2.3.4.5.6.7.8.9.10.11.12", "1." * 500, "Europe/Nowhere", "x" * 20_000,
    "\u212b", "\u0130\u0149",
]  # fmt: skip
ASKED = [
    {"equals": "x"}, {"matches": "x+$"}, {"like": "*x?"}, {"at_least": 1}, {"between": [1, 2]}, {"one_of": [1, 2]},
    {"not_equals": 5}, {"equals": True}, {"known": False}, {"includes_any": ["x"]}, {"includes_all": [1]},
    {"empty": False}, {"within_next": "3660d"}, {"more_than_ahead": "3660d"}, {"within": "1h"}, {"on": "2026-05-01"},
    {"calendar": "this_year"}, {"calendar": {"last": 3, "unit": "quarter"}}, {"anniversary": {"within_next": "7d"}},
    {"equals": "x", "pick": "all"}, {"at_least": 1, "pick": "last"},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_no_value_of_a_profile_stops_a_statement(value):
    person = Person(
        events=(
            Event(
                "view", NOON, {"v": value, "l": [value]}, {"place": {"lat": value, "lon": value}, "time_zone": value}
            ),
        ),
        attributes={"v": Attribute(value, NOON), "time_zone": Attribute(value, NOON)},
    )
    put(person, make_advertiser())
    about_v = [{"attribute": "v", **test} for test in ASKED]
    about_v += [{"event": "view", "where": [{"property": name, **test}]} for test in ASKED for name in ("v", "l[]")]
    about_v += [
        {"event": "view", kind: {"of": name, "at_least": 1}}
        for kind in ("sum", "avg", "min", "max", "distinct")
        for name in ("v", "l[]")
    ]
    about_v += [
        {"items": "v", "sum": {"of": "a", "at_least": 1}},
        {"favourite": "v", "event": "view", "by": {"sum": "v"}, "equals": "x"},
        {"near": {"lat": 1, "lon": 2, "km": 3}},
        {"event": "view", "window": {"calendar": "today"}, "zone": "visitor"},
    ]
    for node in about_v:
        ask(typed(node, ""), person.id, NOON)
