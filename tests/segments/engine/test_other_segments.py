"""What a fire, the API or an upload does to a segment wakes the rules that name it."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from audience.columns import batch_cursor
from audience.days import LocalDays
from audience.identity import Key
from audience.ids import uuid7
from audience.instants import instant
from audience.talk import speak
from pixels.batch import DoorMemory, store
from pixels.facts import Fire
from segments.members import Ask, change_members
from segments.membership import Change
from segments.models import Segment
from tests.factories import make_pixel, make_segment
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def x(shop):
    return make_segment(shop.advertiser, code="x")


def browser_of(who: str) -> str:
    return str(UUID(int=sum(map(ord, who))))


class Door:
    """A door that knows its visitors."""

    def __init__(self, shop: Shop, segment: Segment) -> None:
        self.advertiser, self.segment, self.memory = shop.advertiser, segment, DoorMemory(100)
        self.pixel = make_pixel(shop.advertiser, segment)

    def fire(self, who: str, when: str, do: str = "add", **terms) -> None:
        self.batch((who, when, do, terms))

    def batch(self, *fires) -> None:
        self.store(*(self._fire(*fire) for fire in fires))

    def store(self, *facts: Fire) -> None:
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            done = speak(cursor, store(facts, LocalDays({}), self.memory))
        self.memory.keep(done)

    def _fire(self, who, when, do, terms) -> Fire:
        lifetime = terms.pop("days", 30) * DAY // timedelta(microseconds=1)
        change = Change(do, self.segment.pk, 1, lifetime=lifetime, **terms)
        return Fire(
            id=uuid7().bytes,
            received_at=instant(at(when)),
            advertiser_id=self.advertiser.pk,
            pixel_id=self.pixel.pk,
            browser=Key(self.advertiser.pk, "browser", browser_of(who)),
            changes=(change,),
        )


def test_53_in_another_segment_and_not_in_it(shop, x):
    is_in = shop.segment("in", {"segment": "x", "in": True})
    is_out = shop.segment("out", {"segment": "x", "in": False})
    Door(shop, x).fire("p", "05-01 10:00")
    sweep_at("06-01")
    assert shop.steps(is_in) == steps("join 05-01 10:00 segment, leave 05-31 10:00 time")
    assert shop.steps(is_out) == steps("join 05-31 10:00 time")


def test_55_a_fire_again_moves_the_value_and_the_end(shop, x):
    old = shop.segment("old", {"segment": "x", "in": True, "for_at_least": "14d"})
    worth = shop.segment("worth", {"segment": "x", "in": True, "value": {"at_least": 5}})
    door = Door(shop, x)
    door.fire("p", "05-01 10:00", value=5)
    sweep_at("05-16")
    door.fire("p", "05-20 10:00", value=3)
    sweep_at("07-01")
    assert shop.steps(old) == steps("join 05-15 10:00 time, leave 06-19 10:00 time")
    assert shop.steps(worth) == steps("join 05-01 10:00 segment, leave 05-20 10:00 segment")


def test_76_in_and_out_within_a_batch_is_no_transition(shop, x):
    segment = shop.segment("in", {"segment": "x", "in": True})
    Door(shop, x).batch(("p", "05-01 10:00", "add", {}), ("p", "05-01 10:01", "remove", {}))
    assert shop.steps(segment) == []


def test_the_api_wakes_rules_as_a_fire_does(shop, x):
    segment = shop.segment("in", {"segment": "x", "in": True})
    for do, when in (("add", "05-01"), ("remove", "05-02")):
        change_members(x, [Ask(do, "customer_id", "C-1")], at=at(when))
    assert shop.steps(segment) == steps("join 05-01 segment, leave 05-02 segment")


def test_a_fire_makes_a_stranger_known_to_rules_about_silence(shop, x):
    segment = shop.segment("quiet", {"event": "buy", "count": {"none": True}})
    Door(shop, x).fire("p", "05-01 10:00")
    assert shop.steps(segment) == steps("join 05-01 10:00 fact")
