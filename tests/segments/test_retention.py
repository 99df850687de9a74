"""Passers-by are forgotten; everybody else stays."""

from datetime import timedelta

import pytest

from audience.models import Identifier, Profile
from segments.models import Membership, Transition
from segments.retention import forget_passers_by
from segments.sweeper import sweep
from tests.factories import NOON, make_advertiser, make_member, make_profile, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = timedelta(days=31)


def test_a_browser_that_came_once_and_left_everything_is_forgotten():
    advertiser = make_advertiser()
    segment = make_segment(advertiser)
    passer_by = make_profile(advertiser, browser="a" * 32)
    make_member(segment, passer_by, lifetime=timedelta(days=1))
    member = make_profile(advertiser, browser="b" * 32)
    make_member(segment, member, lifetime=timedelta(days=100))
    customer = make_profile(advertiser, browser="c" * 32, customer_id="C-1")
    recent = make_profile(advertiser, browser="d" * 32, seen_at=NOON + MONTH)

    assert forget_passers_by(NOON + MONTH) == 0, "its leave is not yet published"
    sweep(NOON + MONTH)
    assert forget_passers_by(NOON + MONTH) == 1

    assert set(Profile.all_advertisers.values_list("pk", flat=True)) == {member.pk, customer.pk, recent.pk}
    for model in (Identifier, Membership, Transition):
        assert not model.all_advertisers.filter(profile=passer_by.pk).exists()
