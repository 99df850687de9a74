"""All worked cases of rules.md 7, in their order."""

from tests.segments.rules import cases_of_events, cases_of_people

CASES = sorted([*cases_of_events.CASES, *cases_of_people.CASES], key=lambda case: case.number)
