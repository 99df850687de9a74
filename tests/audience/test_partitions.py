"""Partitions are made ahead, take over what waited for them, and go when their time is over."""

from datetime import timedelta

import pytest

from audience.partitions import drop_old_partitions, make_partitions, partition_names, partitioned_models
from audience.tenancy import acting_for
from segments.models import Transition
from tests.factories import NOON, make_advertiser, make_profile, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
TABLE = Transition._meta.db_table


@pytest.fixture(autouse=True)
def _partitions_of_today():
    yield
    make_partitions()


def write(at):
    advertiser = make_advertiser()
    profile, segment = make_profile(advertiser), make_segment(advertiser)
    with acting_for(advertiser.pk):
        Transition.objects.create(profile=profile, segment=segment, at=at, change="join", cause="fact")


def test_every_partitioned_table_has_partitions_ahead():
    make_partitions(NOON)
    for model, partitioning in partitioned_models():
        names = partition_names(model._meta.db_table)
        assert len(names) >= partitioning.ahead + 3, "yesterday's, today's, those ahead, and DEFAULT"
    assert make_partitions(NOON) == [], "a second call finds nothing to do"


def test_what_came_before_its_partition_moves_into_it():
    later = NOON + timedelta(days=5 * 365)
    write(later)
    write(NOON - timedelta(days=400))

    made = make_partitions(NOON)
    assert {f"{TABLE}_20311101", f"{TABLE}_20251001"} <= set(made)
    assert Transition.all_advertisers.filter(at=later).count() == 1


def test_a_partition_is_dropped_when_its_last_row_is_older_than_the_table_keeps():
    write(NOON)
    make_partitions(NOON)
    keep = Transition.partitioning.keep_days

    assert f"{TABLE}_20261101" not in drop_old_partitions(NOON + timedelta(days=keep))
    assert Transition.all_advertisers.exists()
    assert f"{TABLE}_20261101" in drop_old_partitions(NOON + timedelta(days=keep + 30))
    assert not Transition.all_advertisers.exists()
