"""The saved form: what is written reads as the same rule, in the order of the tables, a condition on a line."""

import pytest

from segments.rules.reading.rules import read
from segments.rules.writing import write
from tests.segments.rules.worked import CASES

OF_THE_SPECIFICATION = """{
  "muster_rule": 1,
  "of": "profile",
  "rule": {
    "all_of": [
      {"event": "product_view", "where": [{"property": "category", "equals": "shoes"}], "window": {"within": "7d"}, "count": {"at_least": 3}},
      {"not": {"event": "purchase", "window": {"within": "30d"}}}
    ]
  }
}
"""  # noqa: E501


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_written_reads_as_the_same_rule(case):
    rule = case.read()
    text = write(rule)
    assert read(text).rule == rule
    assert write(read(text).rule) == text


def test_the_form_is_that_of_the_specification():
    assert write(read(OF_THE_SPECIFICATION).rule) == OF_THE_SPECIFICATION


def test_defaults_are_left_out_and_keys_are_in_order():
    text = """{"rule": {"label": "Views", "count": {"at_least": 1}, "window": {"ever": true}, "which": "any",
        "event": ["view"], "note": "all of them"}, "zone": "advertiser", "of": "profile", "muster_rule": 1}"""
    assert write(read(text).rule).splitlines()[3] == (
        '  "rule": {"event": "view", "label": "Views", "note": "all of them"}'
    )


@pytest.mark.parametrize("number", ["10.0", "1e1", "10", "10.00"])
def test_a_number_is_written_in_its_shortest_form(number):
    text = f'{{"muster_rule": 1, "of": "profile", "rule": {{"attribute": "age", "equals": {number}}}}}'
    assert '"equals": 10}' in write(read(text).rule)


@pytest.mark.parametrize(
    "name", ['"a.b"', '["a.b"]', '["a", "[]", "b.c"]', '"a[].b"', '["a[]"]', '"a[][]"'], ids=lambda name: name
)
def test_a_name_is_written_so_that_it_reads_as_the_same_steps(name):
    text = f'{{"muster_rule": 1, "of": "profile", "rule": {{"attribute": {name}, "equals": "x"}}}}'
    assert f'"attribute": {name}' in write(read(text).rule)


def test_groups_within_not_and_people_have_their_lines():
    text = """{
  "muster_rule": 1,
  "of": "account",
  "rule": {
    "not": {
      "people": {"at_least": 3},
      "who": {
        "any_of": [
          {"event": "login"},
          {"person": "known"}
        ]
      }
    }
  }
}
"""
    assert write(read(text).rule) == text
