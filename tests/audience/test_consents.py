"""To what people have consented: the newest that was said counts, in whichever order it comes."""

from datetime import timedelta
from itertools import permutations

import pytest
from django.db import connection

from audience import consents
from audience.columns import batch_cursor
from audience.consents import Said
from audience.instants import instant
from audience.merging import Pair, merge
from audience.models import Consent
from audience.talk import speak
from tests.factories import NOON, make_advertiser, make_profile

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def somebody():
    return make_profile(make_advertiser())


def said(profile, state, since, until=None, purpose="advertising"):
    end = instant(until) if until else None
    return Said(profile.advertiser_id, profile.pk.bytes, purpose, state, instant(since), end)


def tell(talk):
    with batch_cursor(connection.connection) as cursor:
        speak(cursor, talk)


def kept(profile):
    rows = Consent.all_advertisers.filter(profile=profile).order_by("purpose")
    return [(row.purpose, row.state, row.since, row.until) for row in rows]


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_newest_counts_in_any_order(order, at_once, somebody):
    told = [
        said(somebody, "granted", NOON, NOON + HOUR),
        said(somebody, "granted", NOON + HOUR),
        said(somebody, "denied", NOON + HOUR),
    ]
    if at_once:
        tell(consents.put([told[number] for number in order], instant(NOON)))
    else:
        for number in order:
            tell(consents.put([told[number]], instant(NOON)))
    assert kept(somebody) == [("advertising", "denied", NOON + HOUR, None)]


def test_each_purpose_is_for_itself(somebody):
    both = [said(somebody, "granted", NOON), said(somebody, "denied", NOON, purpose="analytics")]
    tell(consents.put(both, instant(NOON)))
    assert [row[:2] for row in kept(somebody)] == [("advertising", "granted"), ("analytics", "denied")]


def test_a_merge_keeps_the_newer_one(somebody):
    advertiser = somebody.advertiser
    other = make_profile(advertiser)
    tell(
        consents.put(
            [
                said(somebody, "granted", NOON),
                said(other, "denied", NOON + HOUR),
                said(other, "granted", NOON, purpose="analytics"),
            ],
            instant(NOON),
        )
    )
    tell(merge([Pair(advertiser.pk, other.pk.bytes, somebody.pk.bytes)], instant(NOON + HOUR)))
    assert [row[:2] for row in kept(somebody)] == [("advertising", "denied"), ("analytics", "granted")]
    assert kept(other) == []
