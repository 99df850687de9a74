"""The JSON Schema: every rule that reads passes it, and what it refuses does not read."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from segments.rules.schema import schema
from tests.segments.rules.asking import problems_of, rule_text
from tests.segments.rules.strategies import rule_texts
from tests.segments.rules.worked import CASES

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worked_case_passes(case):
    assert list(VALIDATOR.iter_errors(json.loads(case.text()))) == []


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(rule_texts("profile"), rule_texts("account")))
def test_any_rule_that_reads_passes(text):
    assert list(VALIDATOR.iter_errors(json.loads(text))) == []


@pytest.mark.parametrize(
    "node",
    [
        {"all_of": []},
        {"event": []},
        {"event": "view", "count": {"at_leats": 3}},
        {"event": "view", "count": {"at_least": 3, "at_most": 5}},
        {"event": "view", "window": {"within": "1 month"}},
        {"event": "view", "window": {"within_next": "3d"}},
        {"event": "view", "wher": []},
        {"attribute": "plan"},
        {"attribute": "plan", "one_of": []},
        {"attribute": "plan", "equals": "a", "one_of": ["a"]},
        {"attribute": "plan", "equals": "a", "event": "view"},
        {"sequence": [{"event": "view"}]},
        {"segment": "a"},
        {"segment": "a", "in": True, "left": {"within": "1d"}},
        {"bucket": [0, 101]},
        {"near": {"lat": 1, "lon": 1}},
    ],
)
def test_what_it_refuses_does_not_read(node):
    text = rule_text(node)
    assert not VALIDATOR.is_valid(json.loads(text))
    assert problems_of(text)
