"""Leaves by time: read at once, published by the sweeper."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from audience.tenancy import acting_for
from segments import counts, sweeper
from segments.membership import holds
from segments.models import Membership, SegmentDelta, Transition
from tests.factories import NOON, make_advertiser, make_member, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


@pytest.fixture
def segment():
    return make_segment(make_advertiser(time_zone="Europe/Berlin"))


def members(segment, at):
    with acting_for(segment.advertiser_id):
        return Membership.objects.filter(holds(at), segment=segment).count()


def count_joins(segment, joins):
    """What the batch that made the members has counted."""
    with acting_for(segment.advertiser_id):
        SegmentDelta.objects.create(segment=segment, day=NOON.date(), joins=joins)


@pytest.mark.spec("R7")
def test_a_member_is_in_at_the_start_and_out_at_the_end_without_a_sweeper(segment):
    make_member(segment, lifetime=HOUR)
    microsecond = timedelta(microseconds=1)

    assert members(segment, NOON - microsecond) == 0
    assert members(segment, NOON) == 1
    assert members(segment, NOON + HOUR - microsecond) == 1
    assert members(segment, NOON + HOUR) == 0


@pytest.mark.spec("R7")
def test_the_size_follows_the_clock_while_the_sweeper_is_down(segment):
    for hours in (1, 2, 3):
        make_member(segment, lifetime=hours * HOUR)
    count_joins(segment, 3)

    assert [counts.size(segment, NOON + hours * HOUR) for hours in (0.9, 1, 2, 3, 200)] == [3, 2, 1, 0, 0]


@pytest.mark.spec("R7")
def test_a_sweep_publishes_each_leave_once_with_the_instant_of_the_end(segment):
    make_member(segment, lifetime=HOUR)
    still_in = make_member(segment, lifetime=3 * HOUR)
    count_joins(segment, 2)
    week_later = NOON + timedelta(days=7)

    assert sweeper.sweep(NOON + 2 * HOUR).leaves == 1
    assert sweeper.sweep(NOON + 2 * HOUR).leaves == 0
    assert counts.size(segment, NOON + 2 * HOUR) == 1
    with acting_for(segment.advertiser_id):
        leave = Transition.objects.get()
        assert (leave.change, leave.cause, leave.at) == ("leave", "time", NOON + HOUR)
    assert sweeper.sweep(week_later).leaves == 1
    with acting_for(segment.advertiser_id):
        assert Transition.objects.get(profile=still_in.profile_id).at == NOON + 3 * HOUR
    assert counts.size(segment, week_later) == 0


def test_a_member_that_was_fired_again_only_gets_its_new_end(segment):
    make_member(segment, lifetime=5 * HOUR, sweep_at=NOON + HOUR)

    assert sweeper.sweep(NOON + 2 * HOUR) == sweeper.Swept(leaves=0, moved=1)
    with acting_for(segment.advertiser_id):
        assert Membership.objects.get().sweep_at == NOON + 5 * HOUR
        assert not Transition.objects.exists()


def test_a_leave_is_counted_on_the_day_of_the_advertiser(segment):
    """23:30 UTC is the next day in Berlin."""
    make_member(segment, lifetime=11.5 * HOUR)
    sweeper.sweep(NOON + 24 * HOUR)

    with acting_for(segment.advertiser_id):
        assert SegmentDelta.objects.get().day == NOON.date() + timedelta(days=1)


def test_a_second_sweeper_does_nothing_while_the_first_is_at_work(segment, django_db_blocker):
    make_member(segment, lifetime=HOUR)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [sweeper._ONE_SWEEPER])
        assert sweeper.sweep(NOON + 2 * HOUR) == sweeper.Swept()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [sweeper._ONE_SWEEPER])
    other.close()
    assert sweeper.sweep(NOON + 2 * HOUR).leaves == 1


def test_while_it_is_paused_only_who_paused_it_sweeps(segment):
    make_member(segment, lifetime=HOUR)
    make_member(segment, lifetime=3 * HOUR)

    def sweep_elsewhere():
        try:
            return sweeper.sweep(NOON + 4 * HOUR)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as another:
        with sweeper.paused():
            assert another.submit(sweep_elsewhere).result() == sweeper.Swept()
            assert sweeper.sweep(NOON + 2 * HOUR).leaves == 1
            assert another.submit(sweep_elsewhere).result() == sweeper.Swept()
        assert another.submit(sweep_elsewhere).result().leaves == 1


def test_more_than_a_batch_is_swept(segment, monkeypatch):
    monkeypatch.setattr(sweeper, "BATCH_ROWS", 3)
    for _ in range(8):
        make_member(segment, lifetime=HOUR)

    assert sweeper.sweep(NOON + HOUR).leaves == 8


def test_merged_deltas_are_the_same_numbers(segment):
    count_joins(segment, 5)
    count_joins(segment, 2)
    with acting_for(segment.advertiser_id):
        SegmentDelta.objects.create(segment=segment, day=NOON.date() + timedelta(days=2), leaves=3, loads=1)
    week = (segment, NOON.date() - timedelta(days=1), NOON.date() + timedelta(days=3))
    before = counts.days(*week)

    assert counts.merge_deltas(most=2) == 3
    assert counts.merge_deltas() == 0
    assert counts.days(*week) == before
    assert [(day.size, day.joins, day.leaves) for day in before] == [
        (0, 0, 0),
        (7, 7, 0),
        (7, 0, 0),
        (4, 0, 3),
        (4, 0, 0),
    ]
    with acting_for(segment.advertiser_id):
        assert not SegmentDelta.objects.exists()


def test_the_sweeper_takes_the_present_when_no_instant_is_given(segment):
    with time_machine.travel(NOON + 2 * HOUR):
        assert timezone.now() >= NOON
        make_member(segment, lifetime=HOUR)
        assert sweeper.sweep().leaves == 1
