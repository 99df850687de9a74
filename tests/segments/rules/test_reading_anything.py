"""Whatever stands in a rule's place: it reads, or it is refused with a place and a message. Nothing else happens."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.rules.english import English
from segments.rules.reading.rules import read
from segments.rules.writing import write
from tests.segments.rules.asking import problems_of
from tests.segments.rules.strategies import rule_texts
from tests.segments.rules.test_refusals import REFUSED, SHOP

anything = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.sampled_from(
    ["", "view", "7d", "2026-02-30", "9" * 30, "1 month", "(", "[]", "a[].b", "Europe/Berlin", "$day"]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10_001), st.floats(), st.just(10**400), TEXTS, st.just([]), st.just({})
)
JUNK = st.recursive(
    SCALARS,
    lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(TEXTS, part, max_size=2)),
    max_leaves=4,
)
NODES = [node for node, _, _ in REFUSED]


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Return each container with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in places_of(value[key])]


@anything
@given(st.one_of(rule_texts("profile"), rule_texts("account")), st.data())
def test_a_rule_with_junk_in_it(text, choice):
    source = json.loads(text)
    for _ in range(choice.draw(st.integers(1, 2))):
        container, key = choice.draw(st.sampled_from(places_of(source)))
        container[key] = deepcopy(choice.draw(st.one_of(JUNK, st.sampled_from(NODES))))
    reads_or_is_refused(json.dumps(source))


@anything
@given(st.one_of(JUNK.map(json.dumps), st.text()))
def test_no_rule_at_all(text):
    reads_or_is_refused(text)


def reads_or_is_refused(text: str) -> None:
    problems = problems_of(text, SHOP)
    assert all(problem.message and problem.place for problem in problems)
    if not problems:
        rule = read(text, SHOP).rule
        assert read(write(rule)).rule == rule
        assert English().sentence(rule)
