"""A door that stores fires and noes of people who are named by a letter, as `scene.Shop` names them."""

from datetime import timedelta

from django.db import connection, transaction

from audience.columns import batch_cursor
from audience.days import LocalDays
from audience.identity import Key
from audience.ids import uuid7
from audience.instants import instant
from audience.talk import speak
from pixels.batch import DoorMemory, store
from pixels.facts import Fact, Fire, Withdrawal
from segments.membership import Change
from segments.models import Segment
from tests.factories import make_pixel
from tests.segments.engine.scene import Shop
from tests.segments.rules.facts import at

DAY = timedelta(days=1)


class Door:
    """A door that knows its visitors."""

    def __init__(self, shop: Shop, segment: Segment) -> None:
        self.advertiser, self.segment, self.memory = shop.advertiser, segment, DoorMemory(100)
        self.pixel = make_pixel(shop.advertiser, segment)

    def fire(self, who: str, when: str, do: str = "add", **terms) -> None:
        self.batch((who, when, do, terms))

    def batch(self, *fires) -> None:
        self.store(*(self._fire(*fire) for fire in fires))

    def say_no(self, *people: str, when: str) -> None:
        """Let browsers opt out."""
        self.store(*(Withdrawal(instant(at(when)), (self.browser(who),)) for who in people))

    def sync(self, who: str, when: str, **ids: str) -> None:
        """Let partners say by which ids they know a browser."""
        keys = tuple(Key(self.advertiser.pk, f"partner:{name}", value) for name, value in ids.items())
        fire = self._fire(who, when, "add", {})
        self.store(fire._replace(changes=(), partner_ids=keys))

    def store(self, *facts: Fact) -> None:
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
            browser=self.browser(who),
            changes=(change,),
        )

    def browser(self, who: str) -> Key:
        return Key(self.advertiser.pk, "browser", who)
