"""A told attribute that changes its value is an event, once, and in its own time."""

from datetime import timedelta
from uuid import UUID

import pytest

from audience.models import Event
from audience.upserts import OfPerson, tell_of_people
from tests.audience.messages import Sender, record_all
from tests.factories import NOON, make_advertiser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("rules.md 1.4")]


@pytest.fixture
def shop():
    return Sender(make_advertiser())


def tell(shop, at, own="browser:1", **traits):
    return shop.send(own, kind="identify", at=at, received=99, traits=traits)


def changes():
    """Return (minute, attribute, from, to) of each change, and nothing else that happened."""
    rows = Event.all_advertisers.filter(name="$attribute_changed").order_by("occurred_at", "properties__attribute")
    return [
        (
            (row.occurred_at - NOON) // timedelta(minutes=1),
            *(row.properties[key] for key in ("attribute", "from", "to")),
        )
        for row in rows
    ]


def test_another_value_is_a_change_and_the_first_one_and_the_same_again_are_none(shop):
    tell(shop, 1, plan="free", age=30, tags=["a"])
    tell(shop, 2, plan="free", age=30.0)
    assert changes() == []
    tell(shop, 3, plan="gold", age=30, tags=["a", "b"], city="Ulm")
    end = tell(shop, 4, plan=None)
    assert changes() == [(3, "plan", "free", "gold"), (3, "tags", ["a"], ["a", "b"]), (4, "plan", "gold", None)]
    (row, *_) = Event.all_advertisers.filter(name="$attribute_changed")
    assert (row.profile_id, row.advertiser_id) == (UUID(bytes=end.profile_id), shop.advertiser.pk)


def test_one_message_is_one_change_however_often_it_comes(shop):
    tell(shop, 1, plan="free")
    message = shop.message("browser:1", kind="identify", at=2, traits={"plan": "gold"})
    record_all([message, message])
    record_all([message])
    assert changes() == [(2, "plan", "free", "gold")]


def test_each_step_of_one_batch_is_a_change(shop):
    record_all(
        [
            shop.message("browser:1", kind="identify", at=minute, traits={"plan": plan})
            for minute, plan in enumerate(["free", "gold", "gold", "free"])
        ]
    )
    assert changes() == [(1, "plan", "free", "gold"), (3, "plan", "gold", "free")]


def test_what_is_told_late_changes_nothing(shop):
    tell(shop, 1, plan="free")
    tell(shop, 5, plan="gold")
    tell(shop, 3, plan="tin")
    assert changes() == [(5, "plan", "free", "gold")]


def test_neither_a_merge_nor_a_company_nor_a_cart_changes_an_attribute(shop):
    tell(shop, 1, own="browser:2", plan="free")
    tell(shop, 2, plan="gold", cart=[])
    tell(shop, 3, cart=[{"id": "mug"}])
    for minute, own in ((4, "browser:1"), (5, "browser:2")):
        shop.send(own, "customer_id:C1", kind="identify", at=minute)
    for size in (1, 2):
        shop.send("browser:1", kind="group", at=5 + size, account="acme", traits={"size": size})
    assert changes() == []


def test_what_the_api_tells_of_people_changes_them(shop):
    for minute, plan in enumerate(("free", "gold")):
        told = [OfPerson("customer_id", "C1", {"plan": plan})]
        tell_of_people(shop.advertiser, told, at=NOON + timedelta(minutes=minute))
    assert changes() == [(1, "plan", "free", "gold")]
