"""The door remembers whose a browser is; when the browser goes over to somebody else, its next fire goes there."""

import asyncio

import pytest
from django.db import connections

from audience.days import LocalDays
from audience.ids import uuid7
from audience.instants import HOUR, MINUTE, instant
from audience.models import Identifier
from pixels.commits import Commits
from pixels.facts import Fire
from segments.membership import Change
from segments.models import Membership
from tests.audience.messages import Sender, names_of
from tests.factories import NOON, make_advertiser, make_pixel, make_segment
from tests.pixels.test_committer import conninfo

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("is_shared", [False, True], ids=["merged", "moved"])
def test_a_remembered_browser_is_found_where_it_went(is_shared):
    shop = Sender(make_advertiser())
    if is_shared:
        shop.send("browser:1", "customer_id:C1", at=-9)
    cart = make_segment(shop.advertiser)
    pixel = make_pixel(shop.advertiser, cart)

    def fire(minute):
        change = Change("add", cart.pk, 1, lifetime=HOUR)
        at = instant(NOON) + minute * MINUTE
        return Fire(uuid7().bytes, at, shop.advertiser.pk, pixel.pk, shop.key("browser:1"), (change,))

    def prove():
        shop.send("browser:1", "customer_id:C2", at=1)
        connections.close_all()  # this thread's

    async def fires():
        commits = Commits(conninfo(), LocalDays({}), name="test")
        await commits.commit([fire(0)])
        await asyncio.to_thread(prove)
        (stored,) = await commits.commit([fire(2)])
        commits.close()
        return stored

    stored = asyncio.run(fires())
    owner = Identifier.all_advertisers.get(kind="browser").profile_id
    assert stored.profile_id == owner.bytes
    assert names_of(shop.advertiser)[owner] == {"browser:1", "customer_id:C2"}
    ends = Membership.all_advertisers.filter(profile_id=owner).values_list("expires_at", flat=True)
    assert [instant(end) for end in ends] == [instant(NOON) + 2 * MINUTE + HOUR]
