"""The worked cases of rules.md 7, as PostgreSQL answers them."""

import pytest

from tests.factories import make_advertiser
from tests.segments.rules.database import ask
from tests.segments.rules.stored import put, surroundings
from tests.segments.rules.worked import CASES

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_timeline_is_the_worked_one(case):
    advertiser = make_advertiser()
    put(case.subject, advertiser)
    rule = case.read()
    around = surroundings(rule, case.subject, case.world, advertiser)
    assert ask(rule, case.subject.id, case.instant(), around) == case.timeline()
