"""Two doors that share their visitors."""

import asyncio

import pytest
from django.db import connection
from django.db.models import Sum

from audience.days import LocalDays
from audience.identity import Key
from audience.ids import uuid7
from audience.instants import HOUR, MINUTE, instant
from pixels.commits import Commits
from pixels.facts import Fire
from pixels.intake import database_conninfo
from pixels.reasons import Outcome
from segments.membership import Change
from segments.models import SegmentDelta
from tests.factories import NOON, make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
START = instant(NOON)


class Shop:
    def __init__(self) -> None:
        self.advertiser = make_advertiser()
        self.segment = make_segment(self.advertiser)
        self.pixel = make_pixel(self.advertiser, self.segment)

    def fires(self, people: str, minutes: int) -> list[Fire]:
        change = Change("add", self.segment.pk, 1, lifetime=24 * HOUR)
        owner, at = self.advertiser.pk, START + minutes * MINUTE
        browsers = [Key(owner, "browser", one * 32) for one in people]
        return [Fire(uuid7().bytes, at, owner, self.pixel.pk, one, (change,)) for one in browsers]


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_batches_that_renew_and_read_each_others_rows_do_not_wait_for_each_other():
    """Each door knows half of the visitors' rows, and the other one the other half."""
    shop, before = Shop(), deadlocks()

    async def fire() -> list[list[Outcome]]:
        doors = [Commits(database_conninfo(), LocalDays({}), name="door") for _ in range(2)]
        for people, door in zip(("def", "abc"), doors, strict=True):
            await door.commit(shop.fires(people, 1))
        answers = await asyncio.gather(*(door.commit(shop.fires("abcdef", 2)) for door in doors))
        for door in doors:
            door.close()
        return [[one.outcome for one in answer] for answer in answers]

    assert asyncio.run(fire()) == [[Outcome.APPLIED] * 6] * 2
    assert deadlocks() == before
    loads = SegmentDelta.all_advertisers.aggregate(Sum("loads"), Sum("joins"), Sum("daily_uniques"))
    assert loads == {"loads__sum": 18, "joins__sum": 6, "daily_uniques__sum": 6}
