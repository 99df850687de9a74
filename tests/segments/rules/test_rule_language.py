"""docs/rule-language.md says what is there: each example reads as its sentence, each word of a rule is named."""

import json
import re

import pytest
from django.conf import settings

from audience.models import Event
from segments.rules.english import English
from segments.rules.fields import FIELDS
from segments.rules.operators import COUNT_OPERATORS, OPERATORS
from segments.rules.reading.rules import KINDS, read
from segments.rules.reading.windows import WINDOWS
from segments.rules.windows import CALENDAR_WORDS
from tests.running import ROOT
from tests.segments.rules.asking import Known, problems_of, rule_text

PAGE = (ROOT / "docs/rule-language.md").read_text()
EXAMPLES = re.findall(r"```json\n([^`]+)```\n> (.+)\.\n", PAGE)
ENGLISH = English(retention_days=Event.partitioning.keep_days)


def text_of(example: str) -> str:
    return example if '"muster_rule"' in example else rule_text(json.loads(example))


def test_every_example_has_its_sentence():
    assert len(EXAMPLES) == PAGE.count("```json") > 25


@pytest.mark.parametrize(("example", "sentence"), EXAMPLES)
def test_an_example_reads_as_the_sentence_below_it(example, sentence):
    reading = read(text_of(example), Known(kept_days=Event.partitioning.keep_days))

    assert ENGLISH.sentence(reading.rule) == sentence
    assert reading.notes == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_node_has_an_example(kind):
    assert any(f'"{kind}":' in example for example, _ in EXAMPLES)


def test_every_word_is_named():
    named = set(re.findall(r'[`"]([\w.]+)[`"]', PAGE))
    words = {*OPERATORS, *COUNT_OPERATORS, *WINDOWS, *CALENDAR_WORDS, *(field.key for field in FIELDS.values())}

    assert words <= named


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ({"event": "login", "count": {"at_leats": 3}}, "unknown_test"),
        ({"all_of": []}, "empty_group"),
        ({"attribute": "plan", "one_of": []}, "empty_list"),
        ({"event": "login", "window": {"within": "1 month"}}, "no_fixed_length"),
        ({"event": "login", "attribute": "plan", "equals": "gold"}, "two_things"),
        ({"segment": "vipp", "in": True}, "no_segment"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_its_row(node, code):
    (problem,) = problems_of(rule_text(node), Known(used={"vip": ()}))

    assert f"| `{problem.place}` | `{code}` | {problem.message} |" in PAGE
    assert problem.code == code


def test_the_limits_are_those_that_hold():
    told = re.findall(r"^\|[^|]+\| ([^|]+) \| `(MUSTER_RULE_\w+)` \|$", PAGE, re.MULTILINE)
    names = [name for name in dir(settings) if name.startswith("MUSTER_RULE_")]
    most = {name: getattr(settings, name) for name in names}

    assert {name: most for most, name in told} == {
        name: "1 MiB" if one == 1 << 20 else f"{one:,}" for name, one in most.items()
    }


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)

    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
