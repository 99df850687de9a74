"""What is in the cart of a profile follows from the events that tell of it, in whatever order they come."""

import random
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import cart
from audience.models import Attribute, Profile
from tests.audience.messages import Sender, attributes_of, record_all
from tests.audience.test_identity_laws import few, in_some_order
from tests.factories import NOON, make_advertiser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("rules.md 1.4")]

LAMP = {"product_id": "lamp", "name": "Reading lamp", "category": "Light", "brand": "Lux", "price": 79}
LAMP_LINE = {"id": "lamp", "name": "Reading lamp", "category": "Light", "brand": "Lux", "price": 79, "quantity": 1}
MUG, CAN = {"id": "mug", "price": 12}, {"sku": "can", "price": "24.50", "quantity": "2"}
MUG_LINE, CAN_LINE = MUG | {"quantity": 1}, {"id": "can", "price": "24.50", "quantity": 2}
GOOGLES = {"item_id": 7, "item_name": "Train", "item_category": "Toys", "item_brand": "Holz", "price": 35.5}


def updated(*products, **told):
    return "cart_updated", {"products": [*products], **told}


def added(**told):
    return "add_to_cart", told


def removed(**told):
    return "remove_from_cart", told


BOUGHT = ("purchase", {"total": 79})


@pytest.fixture
def shop():
    return Sender(make_advertiser())


def tell(shop, *events, own="browser:1", first=0):
    """Record events a minute apart, each by itself; return the sender's profile."""
    ends = [
        shop.send(own, at=minute, event=name, properties=told) for minute, (name, told) in enumerate(events, first)
    ]
    return UUID(bytes=ends[-1].profile_id)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([updated(LAMP, CAN)], [LAMP_LINE, CAN_LINE]),
        ([updated(LAMP), updated(MUG)], [MUG_LINE]),
        ([updated()], []),
        (
            [updated(MUG, {"id": "gift"}, currency="USD")],
            [MUG_LINE | {"currency": "USD"}, {"id": "gift", "quantity": 1}],
        ),
        (
            [updated(MUG, currency=" usd ", exchange_rate="0.9"), added(id="mug", quantity=2)],
            [MUG | {"quantity": 3, "currency": "usd", "exchange_rate": "0.9"}],
        ),
        ([updated(MUG, currency="USD", exchange_rate=0.9), added(**MUG)], [MUG | {"quantity": 2}]),
        ([("cart_updated", {"total": 9, "currency": "USD"})], [{"price": 9, "currency": "USD", "quantity": 1}]),
        ([updated(MUG, currency=["USD"], exchange_rate="much")], [MUG_LINE]),
        (
            [("cart_updated", {"items": [GOOGLES]})],
            [{"id": "7", "name": "Train", "category": "Toys", "brand": "Holz", "price": 35.5, "quantity": 1}],
        ),
        (
            [("cart_updated", {"products": ["mug", None, {"price": True}], "currency": "EUR"})],
            [{"id": "mug", "quantity": 1}],
        ),
        ([updated(MUG, {**MUG, "price": 9}, {**MUG, "quantity": 0})], [MUG_LINE, {**MUG_LINE, "price": 9}]),
        ([added(**LAMP)], [LAMP_LINE]),
        ([added(**MUG, quantity=2), added(**MUG | {"price": 11})], [{"id": "mug", "price": 11, "quantity": 3}]),
        ([added(id="salt", quantity=0.1), added(id="salt", quantity=0.2)], [{"id": "salt", "quantity": 0.3}]),
        ([added(products=[LAMP, MUG]), removed(product_id="lamp")], [MUG_LINE]),
        ([added(**MUG, quantity=3), removed(id="mug", quantity=1)], [{**MUG_LINE, "quantity": 2}]),
        ([added(**MUG, quantity=3), removed(id="mug")], []),
        ([added(**MUG), removed(id="mug", quantity=5), added(**MUG)], [MUG_LINE]),
        ([added(name="Mug", price=12), removed(name="Mug")], []),
        ([updated(LAMP, MUG), removed(id="other")], [LAMP_LINE, MUG_LINE]),
        ([added(**LAMP), BOUGHT], []),
        ([added(**LAMP), BOUGHT, added(**MUG)], [MUG_LINE]),
        ([("cart_updated", {"total": "65.50"})], [{"price": "65.50", "quantity": 1}]),
        ([("cart_updated", {"value": 65}), added(**MUG)], [{"price": 65, "quantity": 1}, MUG_LINE]),
        ([("cart_updated", {"total": 0})], []),
        ([added(**MUG), ("cart_updated", {"total": "free"}), ("cart_updated", {})], [MUG_LINE]),
        ([added(**MUG), added(total=65), removed(reason="dear")], [MUG_LINE]),
    ],
)
def test_the_cart_is_what_its_events_say(shop, events, lines):
    profile = tell(shop, *events)
    assert attributes_of(profile) == {"cart": lines}


def test_what_tells_nothing_of_a_cart_makes_none(shop):
    profile = tell(shop, ("page", {}), ("cart_updated", {}), added(total=5), removed())
    assert attributes_of(profile) == {}


def test_the_cart_bears_the_time_of_what_was_told_last(shop):
    tell(shop, added(**LAMP), updated(LAMP), ("cart_updated", {}))
    row = Attribute.all_advertisers.get()
    assert (row.seen_at, row.since) == (NOON + timedelta(minutes=1), NOON + timedelta(minutes=1))
    assert row.advertiser_id == shop.advertiser.pk


def test_a_late_purchase_empties_what_was_in_it_then(shop):
    tell(shop, added(**LAMP))
    tell(shop, added(**MUG), first=5)
    end = shop.send("browser:1", at=3, received=9, event="purchase")
    assert attributes_of(UUID(bytes=end.profile_id)) == {"cart": [MUG_LINE]}


def test_an_addition_that_was_longer_on_its_way_than_the_whole_cart_counts_once(shop):
    second = 1 / 60
    shop.send("browser:1", at=second, received=1, event="add_to_cart", properties=MUG)
    end = shop.send("browser:1", at=0, received=2, event="cart_updated", properties={"products": [MUG]})
    profile = UUID(bytes=end.profile_id)
    assert attributes_of(profile) == {"cart": [MUG_LINE]}
    shop.send("browser:1", at=second, received=3, event="add_to_cart", properties=MUG)
    assert attributes_of(profile) == {"cart": [MUG_LINE | {"quantity": 2}]}, "what comes after it is not in it"


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_at_one_instant_the_whole_cart_comes_last(shop, numbers):
    one, other = numbers
    ends = record_all(
        [
            shop.message("browser:1", number=one, event="add_to_cart", properties=MUG),
            shop.message("browser:1", number=other, event="cart_updated", properties={"products": [MUG]}),
        ]
    )
    assert attributes_of(UUID(bytes=ends[0].profile_id)) == {"cart": [MUG_LINE]}


def test_a_repeated_message_counts_once(shop):
    message = shop.message("browser:1", event="add_to_cart", properties=MUG)
    record_all([message, message])
    (end,) = record_all([message])
    assert end.outcome == "duplicate"
    assert attributes_of(Profile.all_advertisers.get().pk) == {"cart": [MUG_LINE]}


def test_the_newer_of_a_told_cart_and_an_event_counts(shop):
    for minute, told in ((5, [CAN_LINE]), (1, [])):
        end = shop.send("browser:1", kind="identify", at=minute, traits={"cart": told})
        assert attributes_of(UUID(bytes=end.profile_id)) == {"cart": [CAN_LINE]}
    profile = tell(shop, added(**MUG), first=3)
    assert attributes_of(profile) == {"cart": [CAN_LINE]}, "what is older does not count"
    tell(shop, added(**LAMP), first=7)
    assert attributes_of(profile) == {"cart": [MUG_LINE, LAMP_LINE]}


def test_two_who_turn_out_to_be_one_have_one_cart(shop):
    tell(shop, added(**MUG), first=2)
    tell(shop, added(**LAMP), own="browser:2", first=1)
    shop.send("browser:1", "customer_id:C1", at=5, kind="identify")
    end = shop.send("browser:2", "customer_id:C1", at=6, kind="identify")
    assert attributes_of(UUID(bytes=end.profile_id)) == {"cart": [LAMP_LINE, MUG_LINE]}


def test_a_cart_has_no_more_than_its_most_lines(shop, monkeypatch):
    profile = tell(shop, updated(*({"id": str(number)} for number in range(cart.MOST + 5))), added(**MUG))
    (lines,) = attributes_of(profile).values()
    assert len(lines) == cart.MOST
    assert MUG_LINE not in lines


def test_advertisers_in_one_batch_keep_their_carts(shop):
    other = Sender(make_advertiser())
    ends = record_all(
        [one.message("browser:1", event="add_to_cart", properties=MUG) for one in (shop, other)]
        + [shop.message("browser:2", event="page")]
    )
    rows = Attribute.all_advertisers.values_list("advertiser_id", "profile_id")
    assert set(rows) == {
        (one.advertiser.pk, UUID(bytes=end.profile_id)) for one, end in zip((shop, other), ends, strict=False)
    }


products = st.sampled_from([LAMP, MUG, {"id": "mug", "quantity": 2}, {"name": "Mug", "price": 3}, {}])
tellings = st.one_of(
    st.builds(updated, products, products),
    st.builds(lambda one: added(**one), products),
    st.builds(lambda one: removed(**one), products),
    st.sampled_from([BOUGHT, ("cart_updated", {"total": 65}), ("cart_updated", {}), updated(), ("page", {})]),
)
# Several at one instant, too.
courses = st.lists(st.tuples(st.integers(0, 3), tellings), min_size=1, max_size=6)


@few
@given(courses, st.randoms(use_true_random=False))
def test_in_any_order_and_any_batches_it_is_the_same_cart(course, order):
    """Also where the events are of two, and these turn out to be one at any time."""
    random.seed()  # our ids come from there, and Hypothesis lets each example begin with the same ones
    carts = []
    for is_in_order in (True, False):
        shop = Sender(make_advertiser())
        told = [(f"browser:{1 + number % 2}", one) for number, one in enumerate(course)]
        messages = [
            shop.message(
                own, at=minute, received=10, number=1000 * shop.advertiser.pk + number, event=name, properties=said
            )
            for number, (own, (minute, (name, said))) in enumerate(told, 1)
        ]
        messages += [shop.message(f"browser:{one}", "customer_id:C1", at=0, received=10) for one in (1, 2)]
        for batch in [[one] for one in messages] if is_in_order else in_some_order(order, messages):
            record_all(batch)
        rows = Attribute.all_advertisers.filter(advertiser=shop.advertiser)
        carts.append([(row.name, row.value, row.since, row.seen_at) for row in rows])
    assert carts[0] == carts[1]
