"""Passers-by are forgotten; everybody else stays."""

from datetime import timedelta

import pytest

from audience.models import Account, AccountMember, Attribute, Event, Identifier, Profile
from segments.models import Membership, Transition
from segments.retention import forget_passers_by
from segments.sweeper import sweep
from tests.audience.messages import Sender
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


def test_what_a_passer_by_did_and_told_is_forgotten_with_it():
    shop = Sender(make_advertiser())
    shop.send("browser:1")
    shop.send("browser:2", "email:jo@example.com", traits={"plan": "free"})
    shop.send("browser:1", traits={"plan": "free"})
    shop.send("browser:1", kind="group", account="acme", traits={"industry": "retail"})

    assert forget_passers_by(NOON + MONTH) == 1
    kept = Profile.all_advertisers.get().pk
    assert set(Event.all_advertisers.values_list("profile_id", flat=True)) == {kept}
    assert set(Attribute.all_advertisers.values_list("profile_id", flat=True)) == {kept}
    assert not AccountMember.all_advertisers.exists()
    assert Account.all_advertisers.exists(), "the company is nobody's own"
