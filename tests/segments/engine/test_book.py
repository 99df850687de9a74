"""The book of rules in a door: what it cannot know for sure is not guessed, and not read where others wait."""

import asyncio
from contextlib import suppress

import psycopg
import pytest
from django.db import connection

from audience.days import LocalDays
from audience.models import Event, WriteKey
from audience.writekeys import issue_write_key
from config.environment import conninfo
from pixels.commits import Commits, DatabaseAway
from pixels.messages.arrivals import Arrival
from segments import rulebook
from tests.factories import make_segment
from tests.segments.engine.door import Door
from tests.segments.engine.scene import Shop

pytestmark = pytest.mark.django_db(transaction=True)
VIEWED = {"event": "view", "window": {"within": "7d"}}


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture(autouse=True)
def _forget():
    yield
    rulebook.forget()


def commit(*facts):
    """Store facts as a door does, in its event loop."""

    async def store():
        commits = Commits(conninfo(connection.settings_dict), LocalDays({}), name="test")
        try:
            return await commits.commit(facts)
        finally:
            commits.close()

    return asyncio.run(store())


def arrival(shop, who, event, when):
    message = shop.message(who, event, when)
    row, _ = issue_write_key(shop.advertiser, name=who, kind=WriteKey.Kind.SERVER)
    return Arrival(message.id, message.received_at, shop.advertiser.pk, row.pk, message)


def lose_the_book(*, is_read=True):
    """Keep the book until the connection is lost."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(conninfo(connection.settings_dict)) as reader,
        rulebook.keeping(reader) as read,
    ):
        if is_read:
            read()
        raise psycopg.OperationalError("The connection is lost.")


def test_a_message_waits_while_rules_are_still_to_be_read(shop):
    segment = shop.segment("fans", VIEWED)
    rulebook.forget()
    with pytest.raises(DatabaseAway):
        commit(arrival(shop, "p", "view", "05-01"))
    assert not Event.all_advertisers.exists()

    rulebook.refresh()
    commit(arrival(shop, "p", "view", "05-01"))
    assert shop.members(segment, "05-02") == 1


def test_a_book_that_was_lost_serves_as_long_as_it_is_the_present_one(shop):
    segment = shop.segment("fans", VIEWED)
    lose_the_book()
    commit(arrival(shop, "p", "view", "05-01"))
    assert shop.members(segment, "05-02") == 1


def test_a_fire_asks_rules_that_this_process_has_not_read_yet(shop):
    x = make_segment(shop.advertiser, code="x")
    segment = shop.segment("in-x", {"segment": "x", "in": True})
    door = Door(shop, x)
    door.fire("p", "05-01")
    rulebook.forget()
    lose_the_book(is_read=False)
    door.fire("p", "05-02", "remove")
    assert shop.members(segment, "05-03") == 0
