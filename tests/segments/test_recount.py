"""The nightly check finds what the maintained numbers hide."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audience.tenancy import acting_for
from segments.members import Ask, change_members
from segments.recount import differences
from segments.sweeper import sweep
from tests.factories import NOON, make_advertiser, make_segment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def segment():
    """Three members, of whom one was taken out and one has left by time without a sweep."""
    segment = make_segment(make_advertiser())
    with acting_for(segment.advertiser_id):
        people = [Ask("add", "customer_id", str(n), lifetime=timedelta(days=n)) for n in (1, 2, 3)]
        change_members(segment, people, at=NOON)
        change_members(segment, [Ask("remove", "customer_id", "3")], at=NOON + timedelta(hours=1))
    return segment


@pytest.mark.parametrize("is_swept", [False, True])
def test_nothing_differs_with_a_live_sweeper_or_a_dead_one(segment, is_swept):
    at = NOON + timedelta(days=1, hours=1)
    if is_swept:
        sweep(at)
    assert list(differences(at)) == []


def test_a_row_deleted_by_hand_is_named(segment):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segments_membership WHERE expires_at = %s", [NOON + timedelta(days=1)])
    (found,) = differences(NOON + timedelta(hours=2))
    assert (found.maintained, found.counted) == (2, 1)
    assert str(segment.pk) in str(found)


def test_an_identifier_that_leads_to_another_advertisers_profile_is_found(segment):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audience_identifier SET advertiser_id = %s WHERE value = '1'", [make_advertiser().pk])
    with pytest.raises(CommandError, match="identifiers without a profile"):
        call_command("check_counts")
