"""Where people came from first and last: by the sources of their events, whatever order those come in."""

import itertools

import pytest

from audience.models import Touch
from tests.audience.messages import Sender, record_all
from tests.factories import make_advertiser

pytestmark = [pytest.mark.django_db, pytest.mark.spec("rules.md 1.4")]

DIRECT, INTERNAL = {"medium": "direct", "name": "direct"}, {"medium": "internal", "name": "shop.example"}
SPRING, NEWS = {"medium": "cpc", "campaign": "spring"}, {"medium": "email", "name": "news"}


@pytest.fixture
def shop():
    return Sender(make_advertiser())


def visits(shop, sources):
    """Return a message for each source, a minute after the one before."""
    contexts = [{"source": source} if source else {} for source in sources]
    return [shop.message("browser:1", at=minute, context=context) for minute, context in enumerate(contexts)]


def touches(shop):
    rows = Touch.all_advertisers.filter(advertiser=shop.advertiser)
    found = {row.which: row.source for row in rows}
    return found.get("first"), found.get("last")


@pytest.mark.parametrize(
    ("sources", "first", "last"),
    [
        ([None], None, None),
        ([{}], None, None),
        ([DIRECT], DIRECT, DIRECT),
        ([SPRING], SPRING, SPRING),
        ([SPRING, DIRECT], SPRING, SPRING),
        ([SPRING, NEWS, DIRECT, DIRECT], SPRING, NEWS),
        ([DIRECT, SPRING], DIRECT, SPRING),
        ([DIRECT, INTERNAL, SPRING, INTERNAL], DIRECT, SPRING),
        ([INTERNAL], None, None),
        ([NEWS, None], NEWS, NEWS),
    ],
)
def test_touches_of_one_batch_and_of_many(shop, sources, first, last):
    record_all(visits(shop, sources))
    assert touches(shop) == (first, last)

    other = Sender(make_advertiser())
    for message in visits(other, sources):
        record_all([message])
    assert touches(other) == (first, last)


def test_late_events_end_in_the_same(shop):
    for order in itertools.permutations(range(4)):
        sender = Sender(make_advertiser())
        told = visits(sender, [DIRECT, SPRING, NEWS, DIRECT])
        for number in order:
            record_all([told[number]])
        assert touches(sender) == (DIRECT, NEWS)


def test_who_goes_into_another_takes_them_along(shop):
    shop.send("browser:1", at=1, context={"source": SPRING})
    shop.send("browser:2", at=2, context={"source": DIRECT})
    shop.send(None, "customer_id:C1", at=3, context={"source": NEWS})
    shop.send("browser:1", "customer_id:C1", at=4)
    shop.send("browser:2", "customer_id:C1", at=5)
    assert touches(shop) == (SPRING, NEWS)
    assert Touch.all_advertisers.count() == 2


def test_what_is_no_visit_tells_of_none(shop):
    shop.send("browser:1", kind="identify", traits={"plan": "gold"}, context={"source": SPRING})
    assert touches(shop) == (None, None)
