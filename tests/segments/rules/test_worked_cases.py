"""The worked cases of rules.md 7, as the slow reference answers them."""

import pytest

from tests.segments.rules.flips import timeline_of
from tests.segments.rules.worked import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_timeline_is_the_worked_one(case):
    assert timeline_of(case.read(), case.subject, case.world, case.instant(), "this") == case.timeline()


def test_every_number_is_there():
    assert {case.number for case in CASES} == set(range(1, 80)) - {52}  # 52 is a refusal
