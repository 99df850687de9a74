"""Putting people in and taking them out by identifier."""

from datetime import timedelta

import pytest

from audience.models import Profile
from audience.tenancy import acting_for
from segments.members import Ask, change_members, members
from segments.models import Membership, Segment, Transition
from tests.factories import NOON, make_advertiser, make_member, make_profile, make_segment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def segment():
    return make_segment(make_advertiser(), value_from=0, value_to=100)


def change(segment, *asked, at=NOON):
    with acting_for(segment.advertiser_id):
        return change_members(segment, asked, at=at)


def test_people_are_put_in_and_taken_out_and_each_hears_what_became_of_it(segment):
    answers = change(
        segment, Ask("add", "email", "Jo@Example.com", value=65), Ask("add", "customer_id", "C-1", value=7)
    )
    assert [(one.reason, one.joined) for one in answers] == [(None, True), (None, True)]

    (left,) = change(segment, Ask("remove", "email", "jo@example.com"), at=NOON + timedelta(hours=1))
    assert left.left
    with acting_for(segment.advertiser_id):
        assert [row.value for row in members(segment, NOON + timedelta(hours=2))] == [7]
        assert set(Transition.objects.values_list("change", "cause")) == {("join", "api"), ("leave", "api")}


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (Ask("add", "shoe_size", "44"), "bad_identifier"),
        (Ask("add", "email", "jo"), "bad_identifier"),
        (Ask("remove", "email", "nobody@example.com"), "unknown_identifier"),
        (Ask("add", "browser", "a" * 32), "unknown_browser"),
        (Ask("add", "email", "a@example.com", value=-1), "bad_value"),
        (Ask("add", "email", "a@example.com", value=2**31), "value_overflow"),
        (Ask("add", "email", "a@example.com", value=101), "value_out_of_range"),
        (Ask("add", "email", "a@example.com", lifetime=timedelta(0)), "bad_lifetime"),
    ],
)
def test_a_refused_one_has_its_reason_and_does_not_hold_back_the_others(segment, ask, reason):
    refused, done = change(segment, ask, Ask("add", "email", "good@example.com"))

    assert refused.reason == reason
    assert done.joined
    assert Profile.all_advertisers.count() == 1


@pytest.mark.parametrize(
    ("fields", "reason"), [({"kind": Segment.Kind.RULE}, "wrong_kind"), ({"is_active": False}, "inactive_segment")]
)
def test_a_segment_that_takes_nobody_says_so(fields, reason):
    (answer,) = change(make_segment(make_advertiser(), **fields), Ask("add", "email", "jo@example.com"))
    assert answer.reason == reason


def test_nobody_stays_longer_than_the_segment_allows(segment):
    change(segment, Ask("add", "customer_id", "C-1", lifetime=timedelta(days=100)))
    with acting_for(segment.advertiser_id):
        assert Membership.objects.get().expires_at == NOON + timedelta(days=30)


def test_members_are_listed_by_key_page_after_page(segment):
    owner = segment.advertiser
    everybody = sorted(make_profile(owner).pk for _ in range(7))
    for profile in everybody:
        make_member(segment, profile)
    make_member(segment, lifetime=timedelta(0))
    with acting_for(owner.pk):
        pages, after = [], None
        while page := members(segment, NOON, after=after, most=3):
            pages += [row.profile_id for row in page]
            after = page[-1].profile_id
    assert pages == everybody
